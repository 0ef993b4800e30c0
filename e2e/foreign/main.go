// Command foreign is a WHIP publisher or a WHEP viewer made with Pion: a
// client of Plenum that is no browser and shares no code with it, for tests.
//
// It prints its counts as a line of JSON, several times a second. A line on
// its standard input makes a publisher fall silent; the end of its standard
// input, or a signal, ends the session.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// patience is how long everything up to the answer may take, gathering of
// candidates included, and the farewell.
const patience = 15 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "foreign:", err)
		os.Exit(1)
	}
}

// wish is what the command line asks for.
type wish struct {
	role  role
	door  door
	way   way
	learn learning
}

func run(words []string) error {
	wish, err := parse(words)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	session, err := open(ctx, wish)
	if err != nil {
		return err
	}
	return errors.Join(session.last(ctx, os.Stdin, os.Stdout), session.end())
}

func parse(words []string) (wish, error) {
	var found wish
	flags := flag.NewFlagSet("foreign", flag.ContinueOnError)
	role := flags.String("role", "", "`publish` or watch")
	flags.StringVar(&found.door.endpoint, "url", "", "the `URL` of the room's WHIP or WHEP endpoint")
	flags.StringVar(&found.door.token, "token", "", "a join `token` of the room")
	way := flags.String("way", string(direct), "how media goes: direct, or by a relay that is reached by `udp`, tcp or tls")
	learn := flags.String("learn", string(byPost), "how relays are learned of: `post` (to /v1/ice-servers) or link (headers of an OPTIONS)")
	if err := flags.Parse(words); err != nil {
		return found, err
	}
	if found.door.endpoint == "" || found.door.token == "" || flags.NArg() > 0 {
		return found, errors.New("name -url and -token, and nothing else but flags")
	}
	return found, errors.Join(
		choose("role", *role, &found.role, publish, watch),
		choose("way", *way, &found.way, direct, byUDP, byTCP, byTLS),
		choose("learn", *learn, &found.learn, byPost, byLink),
	)
}

// choose sets *value to the choice that word names.
func choose[T ~string](flag, word string, value *T, choices ...T) error {
	names := make([]string, 0, len(choices))
	for _, choice := range choices {
		if string(choice) == word {
			*value = choice
			return nil
		}
		names = append(names, string(choice))
	}
	return fmt.Errorf("-%s %q is none of %s", flag, word, strings.Join(names, ", "))
}
