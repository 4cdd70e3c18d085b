// Gives a Mach-O executable the ad-hoc signature without which macOS on arm64 does not start it.
//
//	mac-signer FILE IDENTIFIER
package main

import (
	"fmt"
	"os"

	"github.com/anchore/quill/quill"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: mac-signer FILE IDENTIFIER")
		os.Exit(2)
	}
	// Without a certificate the signature is an ad-hoc one.
	config, err := quill.NewSigningConfigFromPEMs(os.Args[1], "", "", "", false)
	if err == nil {
		err = quill.Sign(*config.WithIdentity(os.Args[2]))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
