// A peer that uses the DERP client of tailscale.com: prints its key, then returns every packet to its sender.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

func main() {
	url := flag.String("url", "", "relay, for example http://127.0.0.1:3000/derp")
	flag.Parse()
	private := key.NewNode()
	client, err := derphttp.NewClient(private, *url, log.Printf, netmon.NewStatic())
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	raw := private.Public().Raw32()
	fmt.Printf("ready %x\n", raw[:])
	for {
		message, err := client.Recv()
		if err != nil {
			log.Print(err)
			os.Exit(1)
		}
		if packet, ok := message.(derp.ReceivedPacket); ok {
			if err := client.Send(packet.Source, packet.Data); err != nil {
				log.Fatal(err)
			}
		}
	}
}
