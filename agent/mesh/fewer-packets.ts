import type { ConnectionEncrypter, MessageStream, Stream } from "@libp2p/interface";
import { StreamState, YamuxStream } from "@libp2p/yamux/stream";

// A consensus message is small, and what it costs is the packets: libp2p as it comes sends four for one such message.

/** Bytes read before the sender is told of room: half of the smallest window there is, as in the specification's own yamux. */
const WINDOW_NEWS_BYTES = 128 * 1024;

/**
 * Noise hands over a frame's length and its body as two pieces, and each becomes a packet of its own. Joined they are one.
 */
export function inOnePiece<T>(encrypter: ConnectionEncrypter<T>): ConnectionEncrypter<T> {
  const { protocol } = encrypter;
  return {
    protocol,
    secureInbound: (connection, options) => encrypter.secureInbound(joined(connection), options),
    secureOutbound: (connection, options) => encrypter.secureOutbound(joined(connection), options),
  };
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
