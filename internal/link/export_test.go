package link

// FrameSize returns the number of bytes that [AppendFrame] appends.
func FrameSize(f *Frame) int {
	n := bodySize(f)
	return uvarintSize(uint64(n)) + n
}
