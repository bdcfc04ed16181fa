// For a script tag: sets window.Protocol.
import { Protocol } from "./protocol.js";

Object.assign(globalThis, { Protocol });
