package main

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

const (
	chunkBytes = 64 << 10
	// warmUp is not counted: windows and buffers grow during it.
	warmUp = 500 * time.Millisecond
)

// outcome is what the other side of processes.ts reads; err goes there in a field of its own.
type outcome struct {
	GbitPerSecond float64 `json:"gbitPerSecond"`
	Bytes         int64   `json:"bytes"`
	CPUSeconds    float64 `json:"cpuSeconds"`
	err           error
}

// pump sends for that long, or receives until the other side ends; pump.ts counts in the same way.
func pump(stream net.Conn, role string, seconds float64) (o outcome) {
	before := cpuSeconds()
	defer func() { o.CPUSeconds = cpuSeconds() - before }()
	defer stream.Close()
	if role == "send" {
		return pour(stream, time.Duration(seconds*float64(time.Second)))
	}
	return drain(stream)
}

// pour ends when the other side has confirmed that it has everything.
func pour(stream net.Conn, long time.Duration) (o outcome) {
	chunk := make([]byte, chunkBytes)
	for end := time.Now().Add(long); time.Now().Before(end); {
		n, err := stream.Write(chunk)
		o.Bytes += int64(n)
		if err != nil {
			o.err = err
			return o
		}
	}
	half, ok := stream.(interface{ CloseWrite() error })
	if !ok {
		o.err = fmt.Errorf("a %T cannot be half-closed", stream)
		return o
	}
	if o.err = half.CloseWrite(); o.err == nil {
		_, o.err = io.Copy(io.Discard, stream)
	}
	return o
}

func drain(stream net.Conn) (o outcome) {
	chunk := make([]byte, chunkBytes)
	var first, countedFrom, last time.Time
	var counted int64
	for {
		n, err := stream.Read(chunk)
		if n > 0 {
			last = time.Now()
			o.Bytes += int64(n)
			switch {
			case first.IsZero():
				first = last
			case !countedFrom.IsZero():
				counted += int64(n)
			case last.Sub(first) >= warmUp:
				countedFrom = last
			}
		}
		if err == io.EOF {
			o.GbitPerSecond = float64(counted*8) / float64(last.Sub(countedFrom).Nanoseconds())
			return o
		}
		if err != nil {
			o.err = err
			return o
		}
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
