// A session that goes on with the next connection: what is kept for that, and counted.
import { readVarint, varint } from "./codec.js";
import type { Make } from "./line.js";
import type { Handshake } from "./link.js";

const KEPT = 1 << 20; // bytes that are kept until the server has them, so that they can be sent again
const TELL = 1 << 14; // bytes after which the server is told what came

/** The client's half of a session. Without a token there is none that could go on. */
export interface Session {
  _token: string | undefined;
  /** Messages that came. */
  _received: number;
  /** A message was sent. */
  _sent(make: Make, size: number): void;
  /** A message was handled. True: the server is to be told. */
  _handled(size: number): boolean;
  /** Takes the body of a heartbeat; gives that of the next one. */
  _beat(body?: Uint8Array): Uint8Array | undefined;
  /**
   * Takes what the server says: the messages that it lacks; or, for another session, a reason if
   * there was one before. A server that took the session from one that has died does not say what
   * it received: counts begin anew, and nothing is sent again.
   */
  _opened(sys: Handshake["sys"]): Make[] | string | undefined;
  _forget(): void;
}

export function createSession(): Session {
  let owed = 0; // bytes that the server was not told of
  let kept: [make: Make, size: number][] = []; // what the server may not have
  let size = 0; // of it
  let base = 0; // messages that were sent before

  const took = (count: number) => {
    for (; base < count && kept.length; base++) size -= kept.shift()![1];
  };
  const session: Session = {
    _token: undefined,
    _received: 0,
    _sent(make, bytes) {
      if (session._token === undefined) return;
      kept.push([make, bytes]);
      if ((size += bytes) > KEPT) session._forget(); // too much to go on after a loss
    },
    _handled(bytes) {
      session._received++;
      return (owed += bytes + 32) > TELL && session._token !== undefined;
    },
    _beat(body) {
      owed = 0;
      if (session._token === undefined) return;
      if (body?.length) took(readVarint(body));
      return new Uint8Array(varint(session._received));
    },
    _opened({ accepted, resume }) {
      const before = session._token;
      const token = accepted?.includes("resume") ? resume?.token : undefined;
      if (before !== undefined && token !== undefined && resume!.resumed) {
        if (resume!.received === undefined) session._forget();
        else took(resume!.received);
        session._token = token;
        return kept.map(([make]) => make);
      }
      session._forget();
      session._token = token;
      return before && (resume?.reason ?? "unknown");
    },
    _forget() {
      session._token = undefined;
      session._received = owed = size = base = 0;
      kept = [];
    },
  };
  return session;
}
