importScripts("/dist/nano.min.js");

const { bytes, connect } = self.nano;
import("./scenario.js").then(({ scenario }) => scenario(connect("/nano"), bytes)).then(postMessage, (err) => postMessage(String(err)));
