package wsframe

import (
	"encoding/binary"
	"math/bits"
)

// unmask combines b with the repeated key in place, which masks and unmasks alike,
// and returns the key turned to where the next byte goes on.
func unmask(key [4]byte, b []byte) [4]byte {
	k32 := binary.LittleEndian.Uint32(key[:])
	k := uint64(k32)<<32 | uint64(k32)
	for len(b) >= 32 {
		c := b[:32:32]
		binary.LittleEndian.PutUint64(c[0:8], binary.LittleEndian.Uint64(c[0:8])^k)
		binary.LittleEndian.PutUint64(c[8:16], binary.LittleEndian.Uint64(c[8:16])^k)
		binary.LittleEndian.PutUint64(c[16:24], binary.LittleEndian.Uint64(c[16:24])^k)
		binary.LittleEndian.PutUint64(c[24:32], binary.LittleEndian.Uint64(c[24:32])^k)
		b = b[32:]
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(k >> (8 * i))
	}
	// All but the last few bytes were whole turns of the key.
	binary.LittleEndian.PutUint32(key[:], bits.RotateLeft32(k32, -8*len(b)))
	return key
}
