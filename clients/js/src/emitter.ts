import { guard } from "./errors.js";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Listener = (...args: any[]) => unknown;

interface Entry {
  _listener: Listener;
  _once: boolean;
}

/** Listeners by name. One that throws is reported and harms no other. */
export class Emitter {
  private _entries = new Map<string, Set<Entry>>();

  /** Adds a listener; the result takes it back. */
  _add(name: string, listener: Listener, once = false): () => void {
    let entries = this._entries.get(name);
    if (!entries) this._entries.set(name, (entries = new Set()));
    const entry = { _listener: listener, _once: once };
    entries.add(entry);
    return () => this._drop(name, entry);
  }

  /** Takes back a listener, all of a name, or all. */
  _remove(name?: string, listener?: Listener): void {
    if (name === undefined) this._entries.clear();
    else if (!listener) this._entries.delete(name);
    else
      for (const entry of this._entries.get(name) ?? []) {
        if (entry._listener === listener) return this._drop(name, entry);
      }
  }

  _listeners(name: string): Listener[] {
    return [...(this._entries.get(name) ?? [])].map((entry) => entry._listener);
  }

  /** Calls the listeners of this moment, in order; false if there is none. */
  _emit(name: string, ...args: unknown[]): boolean {
    const entries = this._entries.get(name);
    if (!entries) return false;
    for (const entry of [...entries]) {
      if (!entries.has(entry)) continue; // taken back by one before it
      if (entry._once) this._drop(name, entry);
      guard(() => entry._listener(...args));
    }
    return true;
  }

  private _drop(name: string, entry: Entry): void {
    const entries = this._entries.get(name);
    if (entries?.delete(entry) && !entries.size) this._entries.delete(name);
  }
}
