// Command protogen writes the Go code of the project's .proto files, or checks that what is
// there is what it would write. It needs no protoc: the files are compiled in this process, and
// the two plugins are tools pinned in this module's go.mod.
//
//	go run ./protogen -root ../.. cluster/clusterpb/cluster.proto
//	go run ./protogen -root ../.. -check cluster/clusterpb/cluster.proto
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugins are run through `go tool`, which builds them at the versions of go.mod.
var plugins = []string{"protoc-gen-go", "protoc-gen-go-grpc"}

func main() {
	root := flag.String("root", ".", "folder that the names of the .proto files, and imports in them, are relative to")
	check := flag.Bool("check", false, "write nothing; fail if a file differs from what would be written")
	flag.Parse()

	if err := run(context.Background(), *root, *check, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check bool, files []string) error {
	if len(files) == 0 {
		return errors.New("name at least one .proto file")
	}
	request, err := compile(ctx, root, files)
	if err != nil {
		return err
	}

	var stale []error
	for _, plugin := range plugins {
		response, err := generate(ctx, plugin, request)
		if err != nil {
			return err
		}
		for _, f := range response.File {
			path := filepath.Join(root, filepath.FromSlash(f.GetName()))
			content := []byte(f.GetContent())
			if check {
				stale = append(stale, compare(path, content))
				continue
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return err
			}
			fmt.Println("wrote", path)
		}
	}
	return errors.Join(stale...)
}

// compile turns the named files into what protoc would hand to a plugin.
func compile(ctx context.Context, root string, files []string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{root},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard, // carries the comments over
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}

	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: files,
		Parameter:      proto.String("paths=source_relative"),
	}
	seen := map[string]bool{}
	for _, f := range compiled {
		request.ProtoFile = appendWithImports(request.ProtoFile, f, seen)
	}
	return request, nil
}

// appendWithImports adds f after everything that it imports, each file once: the order that
// plugins expect.
func appendWithImports(list []*descriptorpb.FileDescriptorProto, f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return list
	}
	seen[f.Path()] = true
	imports := f.Imports()
	for i := range imports.Len() {
		list = appendWithImports(list, imports.Get(i).FileDescriptor, seen)
	}
	return append(list, protoutil.ProtoFromFileDescriptor(f))
}

// generate runs one plugin: a request on its input, a response on its output.
func generate(ctx context.Context, plugin string, request *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plugin, err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		return nil, fmt.Errorf("%s: unreadable response: %w", plugin, err)
	}
	if response.Error != nil {
		return nil, fmt.Errorf("%s: %s", plugin, response.GetError())
	}
	return response, nil
}

// compare tells whether the file at path holds want.
func compare(path string, want []byte) error {
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing: run `make proto`", path)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return fmt.Errorf("%s is not what its .proto file generates: run `make proto`", path)
	}
	return nil
}
