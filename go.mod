module github.com/lonng/nano

go 1.25.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/pires/go-proxyproto v0.15.0
	golang.org/x/sys v0.47.0
	google.golang.org/genproto v0.0.0-20240227224415-6ceb2ff114de
	google.golang.org/grpc v1.84.0
	google.golang.org/protobuf v1.36.12
)

require (
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260706201446-f0a921348800 // indirect
)
