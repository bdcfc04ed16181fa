// Checked by tsc, not run: shop.d.mts, which nano-cli gen ts has written (clients/nano-cli/internal/gen), as the type of a
// connection. A wrong route or field does not compile.
import { bytes, connect } from "nano-websocket-client";
import type { Shop, Thing } from "./shop.mjs";

const shop = connect<Shop>("/nano");
const box: Thing = {
  name: "box", color: "red", count: 1, big: 2, sold: false, made: new Date().toISOString(), at: [1, 2], parts: null, notes: {}, owner: null,
  more: {}, odd: { "a-b": 1 }, wait: 0,
};
const bought: Promise<Thing> = shop.request("shop.buy", box);
shop.request("shop.list", {}).then((names) => names.map((name) => name.length));
shop.request("shop.raw", new Uint8Array(1), { serializer: bytes }).then((data) => data.byteLength);
shop.notify("shop.look", ["box"]);
shop.onPush("onSold", ({ parts, better }) => parts?.map((part) => part?.name === better?.name));
shop.onPush("shop.names", (names) => names.length);

// @ts-expect-error no such route
shop.request("shop.sell", box);
// @ts-expect-error a route for notifies
shop.request("shop.look", ["box"]);
// @ts-expect-error a route for requests
shop.notify("shop.buy", box);
// @ts-expect-error a route for nodes
shop.notify("shop.hidden", new Uint8Array(1));
// @ts-expect-error a field is missing
shop.request("shop.buy", { name: "box" });
// @ts-expect-error no such field
shop.request("shop.buy", { ...box, colour: "red" });
// @ts-expect-error none of the colours
shop.request("shop.buy", { ...box, color: "blue" });
// @ts-expect-error not so many numbers
shop.request("shop.buy", { ...box, at: [1, 2, 3] });
// @ts-expect-error no such field in the answer
bought.then((thing) => thing.prise);
// @ts-expect-error it may be null
shop.onPush("onSold", ({ parts }) => parts.length);
// @ts-expect-error no such push
shop.onPush("onsold", () => {});
