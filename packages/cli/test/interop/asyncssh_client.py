"""One SSH server, as asyncssh sees it. Prints what it saw as JSON. Arguments: user, key file, the proxy's words."""
import asyncio
import hashlib
import json
import sys

import asyncssh

USER, KEY, *PROXY = sys.argv[1:]


async def connect(**more):
    return await asyncssh.connect(
        "server", username=USER, client_keys=[KEY], known_hosts=None, config=None, proxy_command=PROXY, **more
    )


async def run(connection, command, **more):
    done = await connection.run(command, **more)
    signal = done.exit_signal[0] if done.exit_signal else None
    return {"status": done.exit_status, "signal": signal, "stdout": done.stdout, "stderr": done.stderr}


async def main():
    saw = {}
    async with await connect() as c:
        saw["terminated"] = await run(c, "kill -TERM $$; sleep 5")
        saw["other signal"] = await run(c, "kill -VTALRM $$; sleep 5")
        saw["alive after signals"] = await run(c, "echo alive")
        saw["script on stdin"] = await run(c, "bash /dev/stdin x", input='echo "$1"; echo err > /dev/stderr')
        saw["long command"] = await run(c, "echo " + "x" * 100_000 + " | wc -c")
        modes = {
            asyncssh.PTY_ECHO: 0, asyncssh.PTY_VERASE: 8, asyncssh.PTY_VINTR: 255, asyncssh.PTY_VEOF: 5,
            asyncssh.PTY_ONLCR: 0, asyncssh.PTY_OLCUC: 0, asyncssh.PTY_IXON: 0, asyncssh.PTY_IXOFF: 1,
            asyncssh.PTY_ISIG: 1, asyncssh.PTY_ECHOE: 0, asyncssh.PTY_ECHOKE: 0, asyncssh.PTY_IEXTEN: 0,
            asyncssh.PTY_INLCR: 1, asyncssh.PTY_IGNPAR: 1, asyncssh.PTY_IUTF8: 1,
            asyncssh.PTY_OP_ISPEED: 19200, asyncssh.PTY_OP_OSPEED: 19200,
        }
        pty = {"term_type": "xterm", "term_size": (100, 30, 1000, 600)}
        saw["modes"] = await run(c, "stty -a", term_modes=modes, **pty)
        saw["no modes"] = await run(c, "stty -a", **pty)
        try:
            await c.create_process(subsystem="nosuch")
            saw["unknown subsystem"] = "accepted"
        except asyncssh.ChannelOpenError as error:
            saw["unknown subsystem"] = error.code
        try:
            await c.open_unix_connection("/no/such/socket")
            saw["bad socket path"] = "accepted"
        except asyncssh.ChannelOpenError as error:
            saw["bad socket path"] = error.code
        # Without GatewayPorts every address means loopback.
        listener = await c.forward_remote_port("192.0.2.1", 0, "127.0.0.1", 1)
        try:
            await c.forward_remote_port("127.0.0.1", listener.get_port(), "127.0.0.1", 1)
            saw["a forward that fails"] = "accepted"
        except asyncssh.ChannelListenError:
            saw["a forward that fails"] = "refused"
        saw["alive"] = await run(c, "echo alive")
    async with await connect(rekey_bytes=1 << 20) as c:
        process = await c.create_process("cat", encoding=None)
        digest, block = hashlib.sha256(), bytes(1 << 18)

        async def send():
            for _ in range(256):
                process.stdin.write(block)
                await process.stdin.drain()
            process.stdin.write_eof()

        sending = asyncio.ensure_future(send())
        while chunk := await process.stdout.read(1 << 18):
            digest.update(chunk)
        await sending
        await process.wait()
        saw["bulk"] = [process.exit_status, digest.hexdigest()]
    print(json.dumps(saw))


asyncio.run(main())
