import type { ConnectionEncrypter, MessageStream, SecuredConnection, Stream } from "@libp2p/interface";
import type { Uint8ArrayList } from "uint8arraylist";
import { StreamState, YamuxStream } from "@libp2p/yamux/stream";

// A consensus message is small, and what it costs is what surrounds it: libp2p as it comes sends four packets for one, and
// throws an error for each that it reads. None of this changes what is on the wire for the other side to understand.

/** Bytes read before the sender is told of room: half of the smallest window there is, as in the specification's own yamux. */
const WINDOW_NEWS_BYTES = 128 * 1024;

/**
 * Noise hands over a frame's length and its body as two pieces, and each becomes a packet of its own. Joined they are one.
 */
export function inOnePiece<T>(encrypter: ConnectionEncrypter<T>): ConnectionEncrypter<T> {
  const { protocol } = encrypter;
  return {
    protocol,
    secureInbound: async (connection, options) =>
      withoutErrors(await encrypter.secureInbound(joined(connection), options)),
    secureOutbound: async (connection, options) =>
      withoutErrors(await encrypter.secureOutbound(joined(connection), options)),
  };
}

const NOT_YET = new RangeError("the length has not come yet");

/**
 * Noise's decoder learns that it has read everything from a RangeError, which it catches. One made in advance spares it the
 * walk over the stack. The decoder is not part of libp2p's interface: if it is not there, all stays as it is.
 */
function withoutErrors<T>(secured: SecuredConnection<T>): SecuredConnection<T> {
  const { decoder } = secured.connection as {
    decoder?: { lengthDecoder?: (data: Uint8ArrayList) => number };
  };
  if (decoder?.lengthDecoder !== undefined) {
    decoder.lengthDecoder = (data) => {
      if (data.byteLength < 2) throw NOT_YET;
      return data.getUint16(0);
    };
  }
  return secured;
}

function joined(connection: MessageStream): MessageStream {
  const send = connection.send.bind(connection);
  connection.send = (data) => send(data.subarray());
  return connection;
}

/**
 * js-yamux answers every frame of data with news of the window, however much room is left. This stream tells it only when
 * half of the window is used up, so that a small message is no more than itself.
 */
export function sparingOfWindowNews(stream: Stream): void {
  if (!(stream instanceof YamuxStream)) return;
  const handleData = stream.handleData.bind(stream);
  const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
  let untold = 0;
  stream.handleData = (frame) => {
    untold += frame.header.length;
    handleData(frame);
  };
  stream.sendWindowUpdate = () => {
    // In every other state the update also says something else: that the stream opens, or that reading goes on.
    if (stream.state === StreamState.Established && untold < WINDOW_NEWS_BYTES) return;
    if (stream.state !== StreamState.Paused) untold = 0; // While it is paused the update is held back.
    sendWindowUpdate();
  };
}
