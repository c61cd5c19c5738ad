// dockerfile_lint FILE: what BuildKit's own front end says of a Dockerfile, as `docker build --check` would, without an engine. It prints a
// line for each finding and exits with 1 where there is one. Base images are not looked up: they count as empty.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

type emptyImages struct{}

func (emptyImages) ResolveImageConfig(_ context.Context, name string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	image, err := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{}})
	return name, digest.FromBytes(image), image, err
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	source := llb.NewSourceMap(nil, os.Args[1], "Dockerfile", text)
	source.Definition = &llb.Definition{}
	options := dockerfile2llb.ConvertOpt{MetaResolver: emptyImages{}, SourceMap: source}
	found, err := dockerfile2llb.DockerfileLint(context.Background(), text, options)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, warning := range found.Warnings {
		line := int32(0)
		if ranges := warning.Location.GetRanges(); len(ranges) > 0 {
			line = ranges[0].GetStart().GetLine()
		}
		fmt.Printf("%d: %s: %s\n", line, warning.RuleName, warning.Detail)
	}
	if found.Error != nil {
		fmt.Println(found.Error.Message)
	}
	if len(found.Warnings) > 0 || found.Error != nil {
		os.Exit(1)
	}
}
