// What each of the environments does; the result tells what came of it.
export async function scenario(connection, bytes) {
  const { text } = await connection.request("test.echo", { text: "é".repeat(2000) }); // packed on its way back
  const pushed = new Promise((resolve) => connection.onPush("onRaw", resolve, { serializer: bytes, once: true }));
  const raw = await connection.request("test.raw", Uint8Array.of(0, 128, 255), { serializer: bytes });
  const error = await connection.request("test.fail", { text: "Ada" }).catch((err) => err);
  return [text.length, [...raw], [...(await pushed)], error.code, connection.handshake.sys.accepted].join(" ");
}
