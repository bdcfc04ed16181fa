//go:build !race

// Command member runs one member of an etcd cluster, for tests: a process of its own, so that it
// can be killed and stopped. It ends with its standard input. It is left out of runs with the race
// detector, for which etcd's server would be compiled once more.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
}

func run() error {
	conf := embed.NewConfig()
	flag.StringVar(&conf.Name, "name", "", "of the member")
	flag.StringVar(&conf.Dir, "dir", "", "for its data")
	flag.StringVar(&conf.InitialCluster, "cluster", "", "all members: name=http://address,...")
	flag.StringVar(&conf.ClientTLSInfo.CertFile, "cert", "", "certificate for clients; none: plain text")
	flag.StringVar(&conf.ClientTLSInfo.KeyFile, "key", "", "its key")
	flag.StringVar(&conf.ClientTLSInfo.TrustedCAFile, "ca", "", "who signs the certificates of clients")
	client := flag.String("client", "", "address for clients")
	peer := flag.String("peer", "", "address for other members")
	advertised := flag.String("advertised", "", "where they are told to find it")
	flag.Parse()

	scheme := "http"
	if conf.ClientTLSInfo.CertFile != "" {
		scheme, conf.ClientTLSInfo.ClientCertAuth = "https", true
	}
	conf.ListenClientUrls = []url.URL{{Scheme: scheme, Host: *client}}
	conf.AdvertiseClientUrls = conf.ListenClientUrls
	conf.ListenPeerUrls = []url.URL{{Scheme: "http", Host: *peer}}
	conf.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: *advertised}}
	conf.LogLevel, conf.LogOutputs = "error", []string{"stderr"}
	conf.UnsafeNoFsync = true              // what is tested is not the disk
	conf.TickMs, conf.ElectionMs = 50, 500 // tests wait for elections
	conf.BcryptCost = 4
	server, err := embed.StartEtcd(conf)
	if err != nil {
		return err
	}
	defer server.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-server.Server.ReadyNotify():
		fmt.Println("ready")
	case <-ended:
		return nil
	}
	select {
	case err := <-server.Err():
		return err
	case <-ended:
		return nil
	}
}
