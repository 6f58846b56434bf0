"""Memory of idle TLS connections: opens many, each as far as EHLO under STARTTLS, and compares the server's memory.

    python3 bench/idle_tls.py PID HOST PORT COUNT

PID is the server's. What is printed is the growth of its RSS and PSS for each connection, in KiB, after a warm-up of a
hundred connections that have gone again. Needs as many open files as connections (ulimit -n) for itself and for the server.
"""
import asyncio
import ssl
import sys

WARM_UP = 100
AT_ONCE = 50


def memory(pid):
    """RSS and PSS of a process in KiB."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name in ("Rss", "Pss"):
                found[name] = int(value.split()[0])
    return found["Rss"], found["Pss"]


async def reply(reader):
    while True:
        line = await reader.readline()
        if not line:
            raise ConnectionError("closed")
        if line[3:4] != b"-":
            return line


async def idle(host, port, context, gate):
    """One connection, as far as EHLO under TLS."""
    async with gate:
        reader, writer = await asyncio.open_connection(host, port)
        await reply(reader)
        for line in (b"EHLO idle.test\r\n", b"STARTTLS\r\n"):
            writer.write(line)
            answer = await reply(reader)
            if not answer.startswith(b"2"):
                raise ConnectionError(answer.decode())
        await writer.start_tls(context, server_hostname="bench.test")
        writer.write(b"EHLO idle.test\r\n")
        await reply(reader)
        return reader, writer


async def many(host, port, context, count):
    gate = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(idle(host, port, context, gate) for _ in range(count)))


async def main():
    pid, host, port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for _, writer in await many(host, port, context, WARM_UP):
        writer.close()
    await asyncio.sleep(1)
    before = memory(pid)
    connections = await many(host, port, context, count)
    await asyncio.sleep(2)
    after = memory(pid)
    rss, pss = ((after[i] - before[i]) / count for i in (0, 1))
    print(f"{len(connections)} idle TLS connections: {rss:.1f} KiB RSS, {pss:.1f} KiB PSS each")


asyncio.run(main())
