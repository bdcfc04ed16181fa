import { bytes, connect } from "/dist/index.js";
import { scenario } from "./scenario.js";

scenario(connect("/nano"), bytes).then(postMessage, (err) => postMessage(String(err)));
