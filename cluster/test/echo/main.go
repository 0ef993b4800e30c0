// Command echo is what the tests run in pods: `echo` answers on TCP 8080 (HTTP)
// and UDP 7000 with the address that it saw; `echo lookup NAME` asks the DNS.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "lookup" {
		lookup(os.Args[2])
		return
	}
	go answerDatagrams()
	fmt.Println("echo is here")
	log.Fatal(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "saw", r.RemoteAddr)
	})))
}

func lookup(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(addresses)
}

func answerDatagrams() {
	socket, err := net.ListenPacket("udp4", ":7000")
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 1500)
	for {
		_, from, err := socket.ReadFrom(buffer)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := socket.WriteTo([]byte("saw "+from.String()), from); err != nil {
			log.Print(err)
		}
	}
}
