package mesh

import (
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/internal/member"
)

// ToInfo returns a member as other nodes and the application read it.
func ToInfo(m member.Member) *clusterpb.MemberInfo {
	return &clusterpb.MemberInfo{
		Label: m.Label, ServiceAddr: m.Addr, Services: m.Services,
		Link: m.Link, Epoch: m.Epoch, State: toState(m.State), NodeId: uint32(m.NodeID), Fixed: m.Fixed, Joined: m.Joined,
	}
}

func fromInfo(i *clusterpb.MemberInfo) member.Member {
	return member.Member{
		Label: i.GetLabel(), Addr: i.GetServiceAddr(), Services: i.GetServices(),
		Link: i.GetLink(), Epoch: i.GetEpoch(), State: fromState(i.GetState()), NodeID: uint64(i.GetNodeId()), Fixed: i.GetFixed(), Joined: i.GetJoined(),
	}
}

func toState(s member.State) clusterpb.State {
	switch s {
	case member.Starting:
		return clusterpb.State_STARTING
	case member.Draining:
		return clusterpb.State_DRAINING
	}
	return clusterpb.State_WORKING
}

func fromState(s clusterpb.State) member.State {
	switch s {
	case clusterpb.State_STARTING:
		return member.Starting
	case clusterpb.State_DRAINING:
		return member.Draining
	}
	return member.Working
}

func toInfos(all []member.Member) []*clusterpb.MemberInfo {
	infos := make([]*clusterpb.MemberInfo, 0, len(all))
	for _, m := range all {
		infos = append(infos, ToInfo(m))
	}
	return infos
}

func fromInfos(all []*clusterpb.MemberInfo) []member.Member {
	members := make([]member.Member, 0, len(all))
	for _, i := range all {
		members = append(members, fromInfo(i))
	}
	return members
}

func toVersion(v member.Version) *clusterpb.Version {
	return &clusterpb.Version{Master: v.Master, N: v.N}
}

func fromVersion(v *clusterpb.Version) member.Version {
	return member.Version{Master: v.GetMaster(), N: v.GetN()}
}

func toView(v member.View) *clusterpb.View {
	return &clusterpb.View{Version: toVersion(v.Version), Settled: v.Settled, Members: toInfos(v.Members)}
}

func fromView(v *clusterpb.View) member.View {
	return member.View{Version: fromVersion(v.GetVersion()), Settled: v.GetSettled(), Members: fromInfos(v.GetMembers())}
}
