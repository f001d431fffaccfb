# A service manager's end of $NOTIFY_SOCKET: binds the path given, prints each datagram as one JSON line.
# recvmsg also takes the file descriptor that systemd-notify passes as a barrier; closing it lets the sender go on.
import json, os, socket, sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print(json.dumps({"bound": True}), flush=True)
while True:
    data, ancillary, _, _ = listener.recvmsg(65536, socket.CMSG_SPACE(64))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            for start in range(0, len(content) - len(content) % 4, 4):
                os.close(int.from_bytes(content[start : start + 4], sys.byteorder))
    print(json.dumps({"lines": data.decode().split("\n")}), flush=True)
