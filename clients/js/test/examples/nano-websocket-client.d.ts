// What the examples' pages load as ./nano-websocket-client.js, for tsc: the folders are laid over one another, as they are
// when the pages are served.
export * from "../../dist/index.js";
