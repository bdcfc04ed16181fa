// A module of its own, so that etcd's client stays out of the go.mod of programs that use nano without it.
module github.com/lonng/nano/contrib/etcd

go 1.25.0

replace github.com/lonng/nano => ../..

require (
	github.com/lonng/nano v0.0.0
	go.etcd.io/etcd/api/v3 v3.6.11
	go.etcd.io/etcd/client/v3 v3.6.11
	go.uber.org/zap v1.27.0
	google.golang.org/grpc v1.84.0
)

require (
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/coreos/go-systemd/v22 v22.5.0 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.26.3 // indirect
	github.com/pires/go-proxyproto v0.15.0 // indirect
	go.etcd.io/etcd/client/pkg/v3 v3.6.11 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/api v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
