/**
 * Every failure that a caller sees. The code is the server's, for a request that it refused, or one of this client's:
 *
 * - `unavailable`: no connection, or it ended before the answer came. The request may have been carried out.
 * - `deadline_exceeded`: no answer in time.
 * - `canceled`: the caller's signal.
 * - `resource_exhausted`: too much waits already for the connection to come back.
 * - `invalid_argument`: what was to be sent cannot be.
 * - `refused`: the server does not want this client; `details` is its answer to the handshake.
 * - `kicked`: the server ended the connection on purpose.
 * - `protocol`: the server sent what cannot be read.
 */
export class NanoError extends Error {
  readonly code: string;
  /** What came with the error: the whole payload of a server's error, or what caused one of this client's. */
  readonly details: unknown;

  constructor(code: string, message: string, details?: unknown) {
    super(message);
    this.name = "NanoError";
    this.code = code;
    this.details = details;
  }
}

/** Makes a NanoError of whatever was thrown; one stays as it is. */
export function asNanoError(err: unknown, code = "protocol"): NanoError {
  if (err instanceof NanoError) return err;
  return new NanoError(code, err instanceof Error ? err.message : String(err), err);
}

/** Calls what is not ours: its error is reported, and harms nobody else. */
export function guard(call: () => unknown): void {
  try {
    call();
  } catch (err) {
    report(err);
  }
}

/** Tells the page, or the console, of an error that nobody handled. The connection goes on. */
export function report(err: unknown): void {
  ((globalThis as { reportError?: (err: unknown) => void }).reportError ?? console.error)(err);
}
