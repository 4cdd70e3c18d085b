package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"
)

const (
	sendPacket  = 4
	recvPacket  = 5
	headerBytes = 5
	keyBytes    = 32
	dialWithin  = 20 * time.Second
	smallBuffer = 4 << 10
)

type client struct {
	conn net.Conn
	key  key.NodePublic
	// Data packets that arrived.
	received atomic.Int64
	// Packets that arrived since the counter was last sent; never blocks the reader.
	credit chan int
	// Set while packets are to be returned to their sender.
	echo atomic.Bool
}

func dial(address string, buffer int) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, dialWithin)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(dialWithin))
	reader := bufio.NewReaderSize(conn, max(buffer, smallBuffer))
	both := bufio.NewReadWriter(reader, bufio.NewWriter(conn))
	fmt.Fprintf(conn, "GET /derp HTTP/1.1\r\nHost: %s\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n", address)
	for first := true; ; first = false {
		line, err := reader.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if first && !strings.HasPrefix(line, "HTTP/1.1 101 ") {
			return nil, fmt.Errorf("the relay answers %q", strings.TrimSpace(line))
		}
		if line == "\r\n" {
			break
		}
	}
	private := key.NewNode()
	if _, err := derp.NewClient(private, conn, both, func(string, ...any) {}); err != nil {
		return nil, err
	}
	// ServerInfo: from here on the relay knows the client.
	if _, _, err := readHeader(reader); err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	c := &client{conn: conn, key: private.Public(), credit: make(chan int, 1)}
	go c.read(reader)
	return c, nil
}

// Reads a header and discards the payload of its frame.
func readHeader(reader *bufio.Reader) (kind byte, length int, err error) {
	kind, length, err = peekHeader(reader)
	if err == nil {
		_, err = reader.Discard(length)
	}
	return kind, length, err
}

func peekHeader(reader *bufio.Reader) (kind byte, length int, err error) {
	header, err := reader.Peek(headerBytes)
	if err != nil {
		return 0, 0, err
	}
	kind, length = header[0], int(binary.BigEndian.Uint32(header[1:]))
	_, err = reader.Discard(headerBytes)
	return kind, length, err
}

func (c *client) read(reader *bufio.Reader) {
	unsaid := 0
	payload := make([]byte, 0)
	for {
		kind, length, err := peekHeader(reader)
		if err != nil {
			return
		}
		if kind == recvPacket && c.echo.Load() {
			// A received frame has the layout of the frame that returns it.
			if cap(payload) < headerBytes+length {
				payload = make([]byte, headerBytes+length)
			}
			payload = payload[:headerBytes+length]
			if _, err := io.ReadFull(reader, payload[headerBytes:]); err != nil {
				return
			}
			putHeader(payload, length)
			if _, err := c.conn.Write(payload); err != nil {
				return
			}
			continue
		}
		if _, err := reader.Discard(length); err != nil {
			return
		}
		if kind == recvPacket {
			unsaid++
		}
		if unsaid > 0 && reader.Buffered() < headerBytes {
			c.received.Add(int64(unsaid))
			select {
			case before := <-c.credit:
				unsaid += before
			default:
			}
			c.credit <- unsaid
			unsaid = 0
		}
	}
}

func putHeader(frame []byte, length int) {
	frame[0] = sendPacket
	binary.BigEndian.PutUint32(frame[1:], uint32(length))
}

// `count` equal frames back to back, each with one packet for `to`.
func framesFor(to *client, count, bytes int) []byte {
	one := make([]byte, headerBytes, headerBytes+keyBytes+bytes)
	putHeader(one, keyBytes+bytes)
	raw := to.key.Raw32()
	one = append(one, raw[:]...)
	for i := range bytes {
		one = append(one, byte(i*7+4))
	}
	frames := make([]byte, 0, count*len(one))
	for range count {
		frames = append(frames, one...)
	}
	return frames
}
