package pushapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/lonng/nano/examples/im/gate"
	"github.com/lonng/nano/examples/im/online"
	"github.com/lonng/nano/examples/im/protocol"
	"github.com/lonng/nano/examples/im/store"
)

// onlineReply is who is connected.
type onlineReply struct {
	Count     int             `json:"count"`
	Platforms map[string]int  `json:"platforms"`
	Users     []online.Person `json:"users"`
	Next      string          `json:"next,omitempty"`
}

// number reads a number of the query.
func number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, invalid(name + " must be a number from " + strconv.FormatInt(least, 10) + " to " + strconv.FormatInt(most, 10))
	}
	return n, nil
}

// errPlatform is the error for a platform that nobody can be on.
var errPlatform = invalid("a platform is a lower-case word of at most 16 letters, digits and hyphens")

// online lists who is connected.
func (s *Server) online(r *http.Request) (any, error) {
	limit, err := number(r, "limit", defaultPage, 0, maxPage)
	if err != nil {
		return nil, err
	}
	reply := &onlineReply{Users: []online.Person{}}
	reply.Count, reply.Platforms = s.conf.Online.Count()
	platforms := r.URL.Query()["platform"]
	if len(platforms) > 0 {
		if slices.ContainsFunc(platforms, func(p string) bool { return !gate.Platform(p) }) {
			return nil, errPlatform
		}
		reply.Count = s.conf.Online.CountOn(platforms)
	}
	list := s.conf.Online.List(r.URL.Query().Get("after"), platforms, int(limit)+1)
	if len(list) > int(limit) {
		list = list[:limit]
		if limit > 0 {
			reply.Next = list[limit-1].ID
		}
	}
	reply.Users = append(reply.Users, list...)
	return reply, nil
}

// presenceReply is where a user is connected.
type presenceReply struct {
	ID        string   `json:"id"`
	Online    bool     `json:"online"`
	Platforms []string `json:"platforms"`
}

func (s *Server) presence(r *http.Request) (any, error) {
	platforms := s.conf.Online.Platforms(r.PathValue("id"))
	return &presenceReply{ID: r.PathValue("id"), Online: len(platforms) > 0, Platforms: platforms}, nil
}

// kickRequest is the body of a kick, which may be left out.
type kickRequest struct {
	Reason    string   `json:"reason"`
	Platforms []string `json:"platforms"`
}

// kickReply is how many connections were ended.
type kickReply struct {
	Kicked int `json:"kicked"`
}

func (s *Server) kick(r *http.Request) (any, error) {
	req := kickRequest{Reason: "kicked by the operator"}
	if err := decode(r, &req, true); err != nil {
		return nil, err
	}
	if req.Reason == "" || len(req.Reason) > 200 {
		return nil, invalid("reason has 1 to 200 bytes")
	}
	if slices.ContainsFunc(req.Platforms, func(p string) bool { return !gate.Platform(p) }) {
		return nil, errPlatform
	}
	user := r.PathValue("id")
	kicked := 0
	for _, p := range s.conf.Online.Platforms(user) {
		if len(req.Platforms) == 0 || slices.Contains(req.Platforms, p) {
			kicked++
		}
	}
	s.conf.Emit(&protocol.Event{Users: []string{user}, Platforms: req.Platforms, Kick: req.Reason})
	return &kickReply{kicked}, nil
}

// makeRequest is the body of POST /api/v1/channels.
type makeRequest struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Title   string   `json:"title"`
	Owner   userID   `json:"owner"`
	Members []userID `json:"members"`
}

func (s *Server) makeChannel(r *http.Request) (any, error) {
	req := makeRequest{Kind: store.Group}
	if err := decode(r, &req, false); err != nil {
		return nil, err
	}
	if len(req.ID) > 64 || strings.ContainsFunc(req.ID, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, invalid("id has at most 64 bytes, and no blanks, slashes or control characters")
	}
	if req.ID == "" && (req.Kind == store.Group || req.Kind == store.Live) {
		req.ID = req.Kind[:1] + newID(r.Context())[1:]
	}
	if req.Owner != "" {
		if err := req.Owner.check(); err != nil {
			return nil, err
		}
	}
	members, err := ids(req.Members)
	if err != nil {
		return nil, err
	}
	var reply protocol.OperatorChannel
	err = s.conf.Backend.Call(r.Context(), req.ID, "make",
		&protocol.MakeRequest{ID: req.ID, Kind: req.Kind, Title: req.Title, Owner: string(req.Owner), Members: members}, &reply)
	return created{&reply}, err
}

// list makes a request for a page.
func list(r *http.Request) (*protocol.ListRequest, error) {
	limit, err := number(r, "limit", defaultPage, 1, maxPage)
	q := r.URL.Query()
	return &protocol.ListRequest{Channel: r.PathValue("id"), Kind: q.Get("kind"), After: q.Get("after"), Limit: int(limit)}, err
}

func (s *Server) listChannels(r *http.Request) (any, error) {
	req, err := list(r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"", store.Global, store.Group, store.Private, store.Live}, req.Kind) {
		return nil, invalid("kind must be global, group, private or live")
	}
	var reply protocol.ChannelsReply
	err = s.conf.Backend.Call(r.Context(), "", "channels", req, &reply)
	return &reply, err
}

func (s *Server) channel(r *http.Request) (any, error) {
	var reply protocol.OperatorChannel
	err := s.conf.Backend.Call(r.Context(), r.PathValue("id"), "channel", &protocol.ChannelRequest{Channel: r.PathValue("id")}, &reply)
	return &reply, err
}

func (s *Server) members(r *http.Request) (any, error) {
	req, err := list(r)
	if err != nil {
		return nil, err
	}
	var reply protocol.OperatorMembers
	err = s.conf.Backend.Call(r.Context(), req.Channel, "roster", req, &reply)
	for i := range reply.Members {
		reply.Members[i].Online = s.conf.Online.Online(reply.Members[i].ID, nil)
	}
	return &reply, err
}

// admitRequest is the body of POST /api/v1/channels/{id}/members.
type admitRequest struct {
	Users []userID `json:"users"`
	Role  string   `json:"role"`
}

func (s *Server) admit(r *http.Request) (any, error) {
	req := admitRequest{Role: store.Plain}
	if err := decode(r, &req, false); err != nil {
		return nil, err
	}
	if len(req.Users) == 0 || len(req.Users) > maxPage {
		return nil, invalid("users has 1 to " + strconv.Itoa(maxPage) + " ids")
	}
	users, err := ids(req.Users)
	if err != nil {
		return nil, err
	}
	return s.change(r, "admit", &protocol.AdmitRequest{Users: users, Role: req.Role})
}

func (s *Server) expel(r *http.Request) (any, error) {
	return s.change(r, "expel", &protocol.AdmitRequest{Users: []string{r.PathValue("user")}})
}

func (s *Server) change(r *http.Request, name string, req *protocol.AdmitRequest) (any, error) {
	req.Channel = r.PathValue("id")
	var reply protocol.OperatorChannel
	err := s.conf.Backend.Call(r.Context(), req.Channel, name, req, &reply)
	return &reply, err
}

func (s *Server) history(r *http.Request) (any, error) {
	limit, err := number(r, "limit", protocol.DefaultPage, 1, protocol.MaxPage)
	if err != nil {
		return nil, err
	}
	req := &protocol.HistoryRequest{Channel: r.PathValue("id"), Limit: int(limit)}
	if req.Before, err = number(r, "before", 0, 1, 1<<53); err != nil {
		return nil, err
	}
	if req.After, err = number(r, "after", 0, 1, 1<<53); err != nil {
		return nil, err
	}
	var reply protocol.HistoryReply
	err = s.conf.Backend.Call(r.Context(), req.Channel, "page", req, &reply)
	return &reply, err
}

// postRequest is the body of POST /api/v1/channels/{id}/messages.
type postRequest struct {
	Text     string   `json:"text"`
	From     userID   `json:"from"`
	CID      string   `json:"cid"`
	Reply    int64    `json:"reply"`
	Mentions []userID `json:"mentions"`
}

func (s *Server) post(r *http.Request) (any, error) {
	var req postRequest
	if err := decode(r, &req, false); err != nil {
		return nil, err
	}
	if req.CID == "" {
		req.CID = newID(r.Context())
	}
	if req.From != "" {
		if err := req.From.check(); err != nil {
			return nil, err
		}
	}
	mentions, err := ids(req.Mentions)
	if err != nil {
		return nil, err
	}
	var reply store.Message
	err = s.conf.Backend.Call(r.Context(), r.PathValue("id"), "post",
		&protocol.PostRequest{Channel: r.PathValue("id"), CID: req.CID, Text: req.Text, From: string(req.From), Reply: req.Reply, Mentions: mentions}, &reply)
	return created{&reply}, err
}

// statsReply is the messenger's figures, and this node's.
type statsReply struct {
	protocol.SizesReply
	Online    int            `json:"online"`
	Platforms map[string]int `json:"platforms"`
	Node      any            `json:"node"`
}

func (s *Server) stats(r *http.Request) (any, error) {
	var reply statsReply
	if err := s.conf.Backend.Call(r.Context(), "", "sizes", &protocol.Empty{}, &reply.SizesReply); err != nil {
		return nil, err
	}
	reply.Online, reply.Platforms = s.conf.Online.Count()
	reply.Node = s.conf.Node(r.Context())
	return &reply, nil
}
