// The other side of go-peer.test.ts: hashicorp/yamux and storj/drpc, as Coder uses them, over standard input and output.
//
//	peer serve   answers the calls below
//	peer call    makes them and prints what came of it, as JSON on standard error
//
// Each call has its own yamux stream. Messages are bytes; the first path element after the slash is the behaviour.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcerr"
	"storj.io/drpc/drpcserver"
)

type stdio struct{ io.Reader }

func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

type raw struct{}

func (raw) Marshal(msg drpc.Message) ([]byte, error)      { return *msg.(*[]byte), nil }
func (raw) Unmarshal(buf []byte, msg drpc.Message) error { *msg.(*[]byte) = bytes.Clone(buf); return nil }

func config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = os.Stderr
	c.KeepAliveInterval = 200 * time.Millisecond
	return c
}

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve()
	} else {
		err = call()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

type handler struct{}

func (handler) HandleRPC(stream drpc.Stream, rpc string) error {
	var in []byte
	switch rpc {
	case "/echo":
		for {
			if err := stream.MsgRecv(&in, raw{}); errors.Is(err, io.EOF) {
				return stream.CloseSend()
			} else if err != nil {
				return err
			}
			if err := stream.MsgSend(&in, raw{}); err != nil {
				return err
			}
		}
	case "/fail":
		return drpcerr.WithCode(errors.New("not today"), 12)
	case "/many":
		if err := stream.MsgRecv(&in, raw{}); err != nil {
			return err
		}
		for i := range 200 {
			out := bytes.Repeat([]byte{byte(i)}, 5000)
			if err := stream.MsgSend(&out, raw{}); err != nil {
				return err
			}
		}
		return nil
	case "/hang":
		// The reader of the connection blocks until the message is received, and notices no end before.
		if err := stream.MsgRecv(&in, raw{}); err != nil {
			return err
		}
		<-stream.Context().Done()
		fmt.Fprintln(os.Stderr, "cancelled")
		return stream.Context().Err()
	}
	return drpc.ProtocolError.New("unknown rpc: %q", rpc)
}

func serve() error {
	session, err := yamux.Server(stdio{os.Stdin}, config())
	if err != nil {
		return err
	}
	server := drpcserver.New(handler{})
	for {
		stream, err := session.Accept()
		if err != nil {
			return nil
		}
		go func() { _ = server.ServeOne(context.Background(), stream) }()
	}
}

func call() error {
	session, err := yamux.Client(stdio{os.Stdin}, config())
	if err != nil {
		return err
	}
	open := func() (*drpcconn.Conn, error) {
		stream, err := session.Open()
		if err != nil {
			return nil, err
		}
		return drpcconn.New(net.Conn(stream)), nil
	}
	unary := func(rpc string, in []byte) ([]byte, error) {
		conn, err := open()
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		var out []byte
		err = conn.Invoke(context.Background(), rpc, raw{}, &in, &out)
		return out, err
	}
	result := map[string]any{}

	sizes := []int{}
	for _, size := range []int{0, 1, 70_000, 3_000_000} {
		in := bytes.Repeat([]byte{7}, size)
		out, err := unary("/echo", in)
		if err != nil {
			return err
		}
		if bytes.Equal(in, out) {
			sizes = append(sizes, size)
		}
	}
	result["echoed"] = sizes

	_, err = unary("/fail", nil)
	result["failCode"], result["failText"] = drpcerr.Code(err), err.Error()
	_, err = unary("/nothing", nil)
	result["unknownCode"] = drpcerr.Code(err)
	result["unknownKnown"] = strings.Contains(err.Error(), `unknown rpc: "/nothing"`)

	var wg sync.WaitGroup
	var mu sync.Mutex
	right := 0
	for i := range 100 {
		wg.Go(func() {
			in := bytes.Repeat([]byte{byte(i)}, 1000*i)
			if out, err := unary("/echo", in); err == nil && bytes.Equal(in, out) {
				mu.Lock()
				right++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	result["concurrent"] = right

	conn, err := open()
	if err != nil {
		return err
	}
	stream, err := conn.NewStream(context.Background(), "/echo", raw{})
	if err != nil {
		return err
	}
	echoes := 0
	for i := range 100 {
		in, out := bytes.Repeat([]byte{byte(i)}, 3000), []byte(nil)
		if err := stream.MsgSend(&in, raw{}); err != nil {
			return err
		}
		if err := stream.MsgRecv(&out, raw{}); err != nil {
			return err
		}
		if bytes.Equal(in, out) {
			echoes++
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	var rest []byte
	result["bidi"], result["bidiEnd"] = echoes, fmt.Sprint(stream.MsgRecv(&rest, raw{}))
	_ = conn.Close()

	conn, err = open()
	if err != nil {
		return err
	}
	stream, err = conn.NewStream(context.Background(), "/many", raw{})
	if err != nil {
		return err
	}
	request := []byte("go")
	if err := errors.Join(stream.MsgSend(&request, raw{}), stream.CloseSend()); err != nil {
		return err
	}
	many := 0
	for {
		var out []byte
		if err = stream.MsgRecv(&out, raw{}); err != nil {
			break
		}
		many++
	}
	result["many"], result["manyEnd"] = many, err.Error()
	_ = conn.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err = open()
	if err != nil {
		return err
	}
	stream, err = conn.NewStream(ctx, "/hang", raw{})
	if err != nil {
		return err
	}
	if err := stream.MsgSend(&request, raw{}); err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	cancel()
	_ = conn.Close()
	time.Sleep(500 * time.Millisecond) // two pings are answered meanwhile, or the session is over

	out, err := unary("/echo", request)
	result["alive"] = err == nil && bytes.Equal(out, request)
	text, _ := json.Marshal(result)
	fmt.Fprintln(os.Stderr, string(text))
	return session.Close()
}
