// For a script tag: sets window.nano and window.starx. Both faces are on them: nano.init, and nano.connect.
import { Connection, connect } from "./connection.js";
import { NanoError } from "./errors.js";
import { bytes, json } from "./serializers.js";
import { createNano } from "./v05.js";

const nano = Object.assign(createNano(), { createNano, connect, Connection, NanoError, json, bytes });
Object.assign(globalThis, { nano, starx: nano });
