package transport

import (
	"time"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel holds that the client has not acknowledged.
func unsent(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return n
}

// traffic is what the kernel has counted of a TCP connection.
func traffic(fd int) (t Traffic, ok bool) {
	i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil { // a Unix socket
		return t, false
	}
	return Traffic{
		In: i.Bytes_received, Out: i.Bytes_acked,
		RTT:   time.Duration(i.Rtt) * time.Microsecond,
		Quiet: time.Duration(i.Last_data_recv) * time.Millisecond,
	}, true
}
