package member_test

import (
	"testing"

	"github.com/lonng/nano/internal/member"
)

// A master treats nodes of the 0.5 series as their own master would.
func TestMasterAndLegacyNodes(t *testing.T) {
	chat := node("chat", 1, "chat")
	chat2 := node("chat2", 1, "chat")
	old := node("old", 0, "chat")
	old2 := node("old2", 0, "shop")
	plays := map[string][]act{
		"a legacy node that restarts is removed first, because it would be listed twice": {
			{0, "", register(old), "sees master#100"},
			{0, "", register(old2), "sees master#100 old[chat]; tell old new old2[shop]"},
			{0, "", told("old", true), ""},
			{second, "", register(old2), "sees master#100 old[chat]; left old2[shop]; tell old del old2, new old2[shop]"},
		},
		"a call to a legacy node that was lost is repeated after its heartbeat": {
			{0, "", register(old), "sees master#100"},
			{0, "", register(chat), "sees master#100 old[chat]; tell old new chat#1[chat]"},
			{0, "", told("old", false), ""},
			{second, "it may have arrived", beat(old), "tell old del chat, new chat#1[chat]"},
			{second, "", told("old", true), ""},
			{2 * second, "", beat(old), ""},
		},
		"a legacy node that slept is told what it has missed": {
			{0, "", register(chat), "sees master#100"},
			{0, "", register(old), "sees master#100 chat#1[chat]; tell chat new old[chat]"},
			{0, "", told("chat", true), ""},
			{3 * second, "", beat(chat), ""},
			{4*second + second/4, "", tick, "left old[chat]; tell chat del old[chat]"},
			{5 * second, "", leave("chat", 1), "left chat#1[chat]"},
			{5 * second, "", register(chat2), "sees master#100"},
			{5 * second, "", beat(old), "rejoined; tell chat2 new old[chat]; tell old del chat, new chat2#1[chat]"},
		},
		"a legacy node that slept may have heard what it did not answer": {
			{0, "", register(old), "sees master#100"},
			{0, "", register(chat), "sees master#100 old[chat]; tell old new chat#1[chat]"},
			{3 * second, "", beat(chat), ""},
			{4*second + second/4, "", tick, "left old[chat]; tell chat del old[chat]"},
			{5 * second, "", leave("chat", 1), "left chat#1[chat]"},
			{5 * second, "the call is given up", told("old", false), ""},
			{5 * second, "", beat(old), "rejoined; tell old del chat"},
		},
		"a legacy node that a new master hears of may know anything": {
			{0, "", register(chat), "sees master#100"},
			{0, "", masterRestarts, ""},
			{second, "", beatOld(chat), "rejoined fetch"},
			{second, "", beat(old), "rejoined; tell chat new old[chat]; tell old del master, new master#200, del chat, new chat#1[chat]"},
		},
		"to a legacy node a draining member runs what nobody else does": {
			{0, "", register(old2), "sees master#100"},
			{0, "", register(with(chat, func(m *member.Member) { m.State = member.Draining })), "sees master#100 old2[shop]; tell old2 new chat#1[chat](draining)"},
			{0, "", told("old2", true), ""},
			{second, "", register(chat2), "sees master#100 old2[shop] chat#1[chat](draining); tell old2 del chat, new chat#1(draining), new chat2#1[chat]; tell chat new chat2#1[chat]"},
		},
		"a legacy process does not push out a newer one by its heartbeat": {
			{0, "", register(node("x", 3)), "sees master#100"},
			{0, "", beat(node("x", 0)), "refused: member: a newer process has the address: x"},
			{0, "", leave("x", 0), ""},
			{0, "but by starting there", register(node("x", 0)), "sees master#100; left x#3"},
		},
	}
	playAll(t, plays)
}
