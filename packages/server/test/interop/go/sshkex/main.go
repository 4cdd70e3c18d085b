// sshkex connects to an SSH server with one key exchange, has it exchange keys again in the middle, and prints what a
// command wrote. Usage: sshkex ADDRESS KEX COMMAND
package main

import (
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: sshkex ADDRESS KEX COMMAND")
		os.Exit(2)
	}
	config := &ssh.ClientConfig{
		// Every 64 KiB, so that one command sees several exchanges.
		Config:          ssh.Config{KeyExchanges: []string{os.Args[2], "curve25519-sha256"}, RekeyThreshold: 64 << 10},
		User:            "coder",
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	client, err := ssh.Dial("tcp", os.Args[1], config)
	if err != nil {
		fail(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		fail(err)
	}
	session.Stdout = os.Stdout
	session.Stderr = os.Stderr
	if err := session.Run(os.Args[3]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
