// Package apitest_test is a program written for nano v0.5: it names every identifier that such
// programs use, each with its type. If it does not compile, neither do they.
//
// The list itself, internal/archtest/testdata/v05-api.txt, is held against what is declared by a
// test of its own.
package apitest_test

import (
	"io"
	"log"
	"net"
	"net/http"
	"reflect"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/mock"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/scheduler"
	"github.com/lonng/nano/serialize"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/service"
	"github.com/lonng/nano/session"
)

// nano
var (
	_ func(string, ...nano.Option)                                             = nano.Listen
	_ func(string) *nano.Group                                                 = nano.NewGroup
	_ func()                                                                   = nano.Shutdown
	_ func(string, ...time.Duration) nano.Option                               = nano.WithAdvertiseAddr
	_ func(func(*http.Request) bool) nano.Option                               = nano.WithCheckOriginFunc
	_ func(string) nano.Option                                                 = nano.WithClientAddr
	_ func(*component.Components) nano.Option                                  = nano.WithComponents
	_ func(cluster.CustomerRemoteServiceRoute) nano.Option                     = nano.WithCustomerRemoteServiceRoute
	_ func() nano.Option                                                       = nano.WithDebugMode
	_ func(map[string]uint16) nano.Option                                      = nano.WithDictionary
	_ func(...grpc.DialOption) nano.Option                                     = nano.WithGrpcOptions
	_ func(func(*session.Session, []byte) error) nano.Option                   = nano.WithHandshakeValidator
	_ func(time.Duration) nano.Option                                          = nano.WithHeartbeatInterval
	_ func(bool) nano.Option                                                   = nano.WithIsWebsocket
	_ func(string) nano.Option                                                 = nano.WithLabel
	_                                                                          = nano.WithLogger(log.New(io.Discard, "", 0))
	_ func() nano.Option                                                       = nano.WithMaster
	_ func(uint64) nano.Option                                                 = nano.WithNodeId
	_ func(pipeline.Pipeline) nano.Option                                      = nano.WithPipeline
	_ func(serialize.Serializer) nano.Option                                   = nano.WithSerializer
	_ func(string, string) nano.Option                                         = nano.WithTSLConfig
	_ func(time.Duration) nano.Option                                          = nano.WithTimerPrecision
	_ func(func(cluster.Member)) nano.Option                                   = nano.WithUnregisterCallback
	_ func(string) nano.Option                                                 = nano.WithWSPath
	_ func(*nano.Group, *session.Session) error                                = (*nano.Group).Add
	_ func(*nano.Group, string, any) error                                     = (*nano.Group).Broadcast
	_ func(*nano.Group) error                                                  = (*nano.Group).Close
	_ func(*nano.Group, int64) bool                                            = (*nano.Group).Contains
	_ func(*nano.Group) int                                                    = (*nano.Group).Count
	_ func(*nano.Group, func(*session.Session) bool) (*session.Session, error) = (*nano.Group).FindMember
	_ func(*nano.Group, *session.Session) error                                = (*nano.Group).Leave
	_ func(*nano.Group) error                                                  = (*nano.Group).LeaveAll
	_ func(*nano.Group, int64) (*session.Session, error)                       = (*nano.Group).Member
	_ func(*nano.Group) []int64                                                = (*nano.Group).Members
	_ func(*nano.Group, string, any, nano.SessionFilter) error                 = (*nano.Group).Multicast
	_                                                                          = nano.Group{}
	_ func(*cluster.Options)                                                   = nano.Option(nil)
	_ func(*session.Session) bool                                              = nano.SessionFilter(nil)
	_ *error                                                                   = &nano.ErrCloseClosedGroup
	_ *error                                                                   = &nano.ErrClosedGroup
	_ *error                                                                   = &nano.ErrMemberNotFound
	_ *error                                                                   = &nano.ErrSessionDuplication
	_ *string                                                                  = &nano.VERSION
)

// cluster
var (
	_ *cluster.Options                            = &new(cluster.Node).Options
	_ *string                                     = &new(cluster.Node).ServiceAddr
	_ *string                                     = &new(cluster.Options).AdvertiseAddr
	_ *string                                     = &new(cluster.Options).ClientAddr
	_ **component.Components                      = &new(cluster.Options).Components
	_ *bool                                       = &new(cluster.Options).IsMaster
	_ *bool                                       = &new(cluster.Options).IsWebsocket
	_ *string                                     = &new(cluster.Options).Label
	_ *pipeline.Pipeline                          = &new(cluster.Options).Pipeline
	_ *cluster.CustomerRemoteServiceRoute         = &new(cluster.Options).RemoteServiceRoute
	_ *time.Duration                              = &new(cluster.Options).RetryInterval
	_ *string                                     = &new(cluster.Options).TSLCertificate
	_ *string                                     = &new(cluster.Options).TSLKey
	_ *(func(cluster.Member))                     = &new(cluster.Options).UnregisterCallback
	_ func(*cluster.Member) string                = (*cluster.Member).String
	_ func(*cluster.Member) *clusterpb.MemberInfo = (*cluster.Member).MemberInfo
	_ func(*cluster.Node) *cluster.LocalHandler   = (*cluster.Node).Handler
	_ func(*cluster.LocalHandler) []string        = (*cluster.LocalHandler).LocalService
	_ func(*cluster.LocalHandler) []string        = (*cluster.LocalHandler).RemoteService
	_                                             = cluster.LocalHandler{}
	_ func(*cluster.Node)                         = (*cluster.Node).Shutdown
	_ func(*cluster.Node) error                   = (*cluster.Node).Startup
	_                                             = cluster.Member{}
	_                                             = cluster.Node{}
	_                                             = cluster.Options{}
	_ *error                                      = &cluster.ErrBrokenPipe
	_ *error                                      = &cluster.ErrBufferExceed
	_ *error                                      = &cluster.ErrCloseClosedSession
	_ *error                                      = &cluster.ErrInvalidRegisterReq
	_ *error                                      = &cluster.ErrSessionOnNotify
)

// component
var (
	_ *component.Component                                                  = &new(component.CompWithOptions).Comp
	_ *[]component.Option                                                   = &new(component.CompWithOptions).Opts
	_ *bool                                                                 = &new(component.Handler).IsRawArg
	_ *reflect.Method                                                       = &new(component.Handler).Method
	_ *reflect.Value                                                        = &new(component.Handler).Receiver
	_ *reflect.Type                                                         = &new(component.Handler).Type
	_ *map[string]*component.Handler                                        = &new(component.Service).Handlers
	_ *string                                                               = &new(component.Service).Name
	_ *reflect.Value                                                        = &new(component.Service).Receiver
	_ *string                                                               = &new(component.Service).SchedName
	_ *reflect.Type                                                         = &new(component.Service).Type
	_ func(component.Component, []component.Option) *component.Service      = component.NewService
	_ func(string) component.Option                                         = component.WithName
	_ func(func(string) string) component.Option                            = component.WithNameFunc
	_ func(string) component.Option                                         = component.WithSchedulerName
	_ func(component.Component)                                             = component.Component.AfterInit
	_ func(component.Component)                                             = component.Component.BeforeShutdown
	_ func(component.Component)                                             = component.Component.Init
	_ func(component.Component)                                             = component.Component.Shutdown
	_ func(*component.Base)                                                 = (*component.Base).AfterInit
	_ func(*component.Base)                                                 = (*component.Base).BeforeShutdown
	_ func(*component.Base)                                                 = (*component.Base).Init
	_ func(*component.Base)                                                 = (*component.Base).Shutdown
	_ func(*component.Components) []component.CompWithOptions               = (*component.Components).List
	_ func(*component.Components, component.Component, ...component.Option) = (*component.Components).Register
	_ func(*component.Service) error                                        = (*component.Service).ExtractHandler
	_                                                                       = component.Base{}
	_                                                                       = component.CompWithOptions{}
	_ component.Component                                                   = nil
	_                                                                       = component.Components{}
	_                                                                       = component.Handler{}
	_                                                                       = []component.Option{component.WithName("")}
	_                                                                       = component.Service{}
)

// mock
var (
	_ func() *mock.NetworkEntity                   = mock.NewNetworkEntity
	_ func(*mock.NetworkEntity) error              = (*mock.NetworkEntity).Close
	_ func(*mock.NetworkEntity, uint64) any        = (*mock.NetworkEntity).FindResponseByMID
	_ func(*mock.NetworkEntity, string) any        = (*mock.NetworkEntity).FindResponseByRoute
	_ func(*mock.NetworkEntity) uint64             = (*mock.NetworkEntity).LastMid
	_ func(*mock.NetworkEntity) any                = (*mock.NetworkEntity).LastResponse
	_ func(*mock.NetworkEntity, string, any) error = (*mock.NetworkEntity).Push
	_ func(*mock.NetworkEntity, string, any) error = (*mock.NetworkEntity).RPC
	_ func(*mock.NetworkEntity) net.Addr           = (*mock.NetworkEntity).RemoteAddr
	_ func(*mock.NetworkEntity, any) error         = (*mock.NetworkEntity).Response
	_ func(*mock.NetworkEntity, uint64, any) error = (*mock.NetworkEntity).ResponseMid
	_ func(mock.NetAddr) string                    = (mock.NetAddr).Network
	_ func(mock.NetAddr) string                    = (mock.NetAddr).String
	_                                              = mock.NetAddr{}
	_                                              = mock.NetworkEntity{}
)

// pipeline
var (
	_ func() pipeline.Pipeline                                          = pipeline.New
	_ func(pipeline.Channel, *session.Session, *pipeline.Message) error = pipeline.Channel.Process
	_ func(pipeline.Channel, pipeline.Func)                             = pipeline.Channel.PushBack
	_ func(pipeline.Channel, pipeline.Func)                             = pipeline.Channel.PushFront
	_ func(pipeline.Pipeline) pipeline.Channel                          = pipeline.Pipeline.Inbound
	_ func(pipeline.Pipeline) pipeline.Channel                          = pipeline.Pipeline.Outbound
	_ pipeline.Channel                                                  = nil
	_ func(*session.Session, *pipeline.Message) error                   = pipeline.Func(nil)
	_ func(*pipeline.Message) ([]byte, error)                           = (*pipeline.Message).Encode
	_ pipeline.Pipeline                                                 = nil
)

// scheduler
var (
	_ func()                                                               = scheduler.Close
	_ func(time.Duration, scheduler.TimerFunc) *scheduler.Timer            = scheduler.NewAfterTimer
	_ func(scheduler.TimerCondition, scheduler.TimerFunc) *scheduler.Timer = scheduler.NewCondTimer
	_ func(time.Duration, int, scheduler.TimerFunc) *scheduler.Timer       = scheduler.NewCountTimer
	_ func(time.Duration, scheduler.TimerFunc) *scheduler.Timer            = scheduler.NewTimer
	_ func(scheduler.Task)                                                 = scheduler.PushTask
	_ func()                                                               = scheduler.Sched
	_ func(scheduler.LocalScheduler, scheduler.Task)                       = scheduler.LocalScheduler.Schedule
	_ func(scheduler.TimerCondition, time.Time) bool                       = scheduler.TimerCondition.Check
	_ func(*scheduler.Timer) int64                                         = (*scheduler.Timer).ID
	_ func(*scheduler.Timer)                                               = (*scheduler.Timer).Stop
	_ func()                                                               = scheduler.Hook(nil)
	_ scheduler.LocalScheduler                                             = nil
	_ func()                                                               = scheduler.Task(nil)
	_                                                                      = scheduler.Timer{}
	_ scheduler.TimerCondition                                             = nil
	_ func()                                                               = scheduler.TimerFunc(nil)
)

// serialize
var (
	_ func(serialize.Marshaler, any) ([]byte, error)  = serialize.Marshaler.Marshal
	_ func(serialize.Serializer, any) ([]byte, error) = serialize.Serializer.Marshal
	_ func(serialize.Serializer, []byte, any) error   = serialize.Serializer.Unmarshal
	_ func(serialize.Unmarshaler, []byte, any) error  = serialize.Unmarshaler.Unmarshal
	_ serialize.Marshaler                             = nil
	_ serialize.Serializer                            = nil
	_ serialize.Unmarshaler                           = nil
)

// serialize/json
var (
	_ func() *json.Serializer                     = json.NewSerializer
	_ func(*json.Serializer, any) ([]byte, error) = (*json.Serializer).Marshal
	_ func(*json.Serializer, []byte, any) error   = (*json.Serializer).Unmarshal
	_                                             = json.Serializer{}
)

// serialize/protobuf
var (
	_ func() *protobuf.Serializer                     = protobuf.NewSerializer
	_ func(*protobuf.Serializer, any) ([]byte, error) = (*protobuf.Serializer).Marshal
	_ func(*protobuf.Serializer, []byte, any) error   = (*protobuf.Serializer).Unmarshal
	_                                                 = protobuf.Serializer{}
	_ *error                                          = &protobuf.ErrWrongValueType
)

// service
var (
	_ func(uint64)                   = service.ResetNodeId
	_ func(service.Connection) int64 = service.Connection.Count
	_ func(service.Connection)       = service.Connection.Decrement
	_ func(service.Connection)       = service.Connection.Increment
	_ func(service.Connection)       = service.Connection.Reset
	_ func(service.Connection) int64 = service.Connection.SessionID
	_ service.Connection             = nil
	_ *service.Connection            = &service.Connections
)

// session
var (
	_ func(session.NetworkEntity) *session.Session   = session.New
	_ func(session.NetworkEntity) error              = session.NetworkEntity.Close
	_ func(session.NetworkEntity) uint64             = session.NetworkEntity.LastMid
	_ func(session.NetworkEntity, string, any) error = session.NetworkEntity.Push
	_ func(session.NetworkEntity, string, any) error = session.NetworkEntity.RPC
	_ func(session.NetworkEntity) net.Addr           = session.NetworkEntity.RemoteAddr
	_ func(session.NetworkEntity, any) error         = session.NetworkEntity.Response
	_ func(session.NetworkEntity, uint64, any) error = session.NetworkEntity.ResponseMid
	_ func(*session.Router, string, string)          = (*session.Router).Bind
	_ func(*session.Router, string)                  = (*session.Router).Delete
	_ func(*session.Router, string) (string, bool)   = (*session.Router).Find
	_ func(*session.Session, int64) error            = (*session.Session).Bind
	_ func(*session.Session)                         = (*session.Session).Clear
	_ func(*session.Session)                         = (*session.Session).Close
	_ func(*session.Session, string) float32         = (*session.Session).Float32
	_ func(*session.Session, string) float64         = (*session.Session).Float64
	_ func(*session.Session, string) bool            = (*session.Session).HasKey
	_ func(*session.Session) int64                   = (*session.Session).ID
	_ func(*session.Session, string) int             = (*session.Session).Int
	_ func(*session.Session, string) int16           = (*session.Session).Int16
	_ func(*session.Session, string) int32           = (*session.Session).Int32
	_ func(*session.Session, string) int64           = (*session.Session).Int64
	_ func(*session.Session, string) int8            = (*session.Session).Int8
	_ func(*session.Session) uint64                  = (*session.Session).LastMid
	_ func(*session.Session) session.NetworkEntity   = (*session.Session).NetworkEntity
	_ func(*session.Session, string, any) error      = (*session.Session).Push
	_ func(*session.Session, string, any) error      = (*session.Session).RPC
	_ func(*session.Session) net.Addr                = (*session.Session).RemoteAddr
	_ func(*session.Session, string)                 = (*session.Session).Remove
	_ func(*session.Session, any) error              = (*session.Session).Response
	_ func(*session.Session, uint64, any) error      = (*session.Session).ResponseMID
	_ func(*session.Session, map[string]any)         = (*session.Session).Restore
	_ func(*session.Session) *session.Router         = (*session.Session).Router
	_ func(*session.Session, string, any)            = (*session.Session).Set
	_ func(*session.Session) map[string]any          = (*session.Session).State
	_ func(*session.Session, string) string          = (*session.Session).String
	_ func(*session.Session) int64                   = (*session.Session).UID
	_ func(*session.Session, string) uint            = (*session.Session).Uint
	_ func(*session.Session, string) uint16          = (*session.Session).Uint16
	_ func(*session.Session, string) uint32          = (*session.Session).Uint32
	_ func(*session.Session, string) uint64          = (*session.Session).Uint64
	_ func(*session.Session, string) byte            = (*session.Session).Uint8
	_ func(*session.Session, string) any             = (*session.Session).Value
	_ func(*session.Session)                         = session.Lifetime.Close
	_ func(*session.Session)                         = session.Lifetime.Close
	_ func(*session.Session)                         = session.LifetimeHandler(nil)
	_ session.NetworkEntity                          = nil
	_                                                = session.Router{}
	_                                                = session.Session{}
	_ *error                                         = &session.ErrIllegalUID
)

// The message that filters see. Programs cannot name its Type, only use it.
var (
	_ *uint64 = &new(pipeline.Message).ID
	_ *string = &new(pipeline.Message).Route
	_ *[]byte = &new(pipeline.Message).Data
	_ byte    = byte(new(pipeline.Message).Type)

	_ func() string                  = new(pipeline.Message).Type.String
	_ func(*pipeline.Message) string = (*pipeline.Message).String
)

// What programs implement themselves: none of these interfaces may ask for more.
var (
	_ component.Component      = new(room)
	_ session.NetworkEntity    = entity{}
	_ serialize.Serializer     = xml{}
	_ serialize.Marshaler      = xml{}
	_ serialize.Unmarshaler    = xml{}
	_ scheduler.LocalScheduler = own{}
	_ scheduler.TimerCondition = own{}
	_ service.Connection       = counter{}
	_ pipeline.Pipeline        = filters{}
	_ pipeline.Channel         = filters{}
	_                          = nano.WithLogger(logger{})
)

type room struct {
	component.Base
	group nano.Group // programs copy it once out of *nano.NewGroup
}

type logger struct{}

func (logger) Println(...any)        {}
func (logger) Fatal(...any)          {}
func (logger) Fatalf(string, ...any) {}

type entity struct{}

func (entity) Push(string, any) error        { return nil }
func (entity) RPC(string, any) error         { return nil }
func (entity) LastMid() uint64               { return 0 }
func (entity) Response(any) error            { return nil }
func (entity) ResponseMid(uint64, any) error { return nil }
func (entity) Close() error                  { return nil }
func (entity) RemoteAddr() net.Addr          { return mock.NetAddr{} }

type xml struct{}

func (xml) Marshal(any) ([]byte, error) { return nil, nil }
func (xml) Unmarshal([]byte, any) error { return nil }

type own struct{}

func (own) Schedule(scheduler.Task) {}
func (own) Check(time.Time) bool    { return false }

type counter struct{}

func (counter) Increment()       {}
func (counter) Decrement()       {}
func (counter) Count() int64     { return 0 }
func (counter) Reset()           {}
func (counter) SessionID() int64 { return 0 }

type filters struct{}

func (filters) Inbound() pipeline.Channel                         { return filters{} }
func (filters) Outbound() pipeline.Channel                        { return filters{} }
func (filters) PushFront(pipeline.Func)                           {}
func (filters) PushBack(pipeline.Func)                            {}
func (filters) Process(*session.Session, *pipeline.Message) error { return nil }

// All the work is the compiler's. This runs the ways of use in which types alone say too little.
func TestAProgramWrittenForV05Runs(t *testing.T) {
	r := &room{group: *nano.NewGroup("room")}
	s := session.New(mock.NewNetworkEntity())
	if err := r.group.Add(s); err != nil {
		t.Fatalf("a group copied out of *NewGroup takes no member: %v", err)
	}
	if got := r.group.Count(); got != 1 {
		t.Errorf("Count of a copied group is %d, want 1", got)
	}

	filter := pipeline.New()
	filter.Inbound().PushBack(func(s *session.Session, msg *pipeline.Message) error {
		msg.Data = append([]byte(nil), msg.Data...)
		return nil
	})
	components := &component.Components{}
	components.Register(r, component.WithName("room"), component.WithNameFunc(func(name string) string { return name }))
	_ = []nano.Option{
		nano.WithComponents(components),
		nano.WithPipeline(filter),
		nano.WithSerializer(json.NewSerializer()),
		nano.WithAdvertiseAddr("127.0.0.1:1"),
		nano.WithAdvertiseAddr("127.0.0.1:1", time.Second),
		nano.WithGrpcOptions(),
		func(*cluster.Options) {},
	}
	if got := len(components.List()); got != 1 {
		t.Errorf("List has %d components, want 1", got)
	}
}
