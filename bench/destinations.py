#!/usr/bin/env python3
"""What dead hosts cost the living: 10,000 domains with one message each, a tenth of their hosts dead (loopback only).

    cargo build --release --locked && python3 bench/destinations.py [--domains 10000] [--program target/release/mailroot]
        [--kinds refused,closed,silent] [--order spread|first] [--connections 1000] [--reps 5]

Each domain has its own host at its own address of 127.0.0.0/8: a small DNS server here says so, a sink here listens on
all of them. First the living alone, then with the dead ones among them, of each kind: *refused* (nobody listens), *closed*
(ended as soon as it is accepted), *silent* (accepted, and never greeted). The messages lie in Pickup when the relay starts, so that
handing them in costs no time of this program's. The time runs from the relay's first question to the DNS until every living
host has its message; the figure is its ratio to the time of the living alone: medians of `--reps` rounds, in each of which every kind has
its turn, another one first each time, because a disk on which many files were made and deleted becomes slower. `--order first` names the files so that the
mail for the dead comes before all other. Needs Linux. Ends what it started, and removes its folder.
"""
import argparse, asyncio, multiprocessing, os, resource, shutil, signal, socket, statistics, struct, subprocess, tempfile, time

CONFIG = """
[dns]
servers = ["127.0.0.1:{dns}"]
[[virtual_server]]
name = "destinations"
home = "{home}"
[virtual_server.general]
listen = ["127.0.0.1:{port}"]
[virtual_server.access]
relay = {{ only = ["127.0.0.0/8"] }}
[virtual_server.messages]
session_size_max = "unlimited"
messages_per_connection = "unlimited"
[virtual_server.delivery]
fqdn = "destinations.test"
port = {sink}
mx_loopback = true
mta_sts = false
connections_max = {connections}
"""


def address(n):
    return socket.inet_aton(f"127.{16 + n // 62500}.{n // 250 % 250}.{1 + n % 250}")


def serve_dns(server, asked):
    """MX and A of dNNNNN.test; of everything else that there is none. When it was first asked stands in `asked`."""
    while True:
        query, client = server.recvfrom(1500)
        asked.value = asked.value or time.monotonic()
        end, labels = 12, []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]])
            end += 1 + query[end]
        kind = struct.unpack("!H", query[end + 1:end + 3])[0]
        name, answer = labels[0].lower() if labels else b"", b""
        if len(labels) == 2 and name[:1] == b"d" and name[1:].isdigit():
            if kind == 15:
                answer = struct.pack("!HHHIHH", 0xC00C, 15, 1, 3600, 4, 10) + b"\xc0\x0c"
            elif kind == 1:
                answer = struct.pack("!HHHIH", 0xC00C, 1, 1, 3600, 4) + address(int(name[1:]))
        head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if answer else 0, 0, 0)
        server.sendto(head + query[12:end + 5] + answer, client)


class Host(asyncio.Protocol):
    """One connection to the sink. All hosts share what is counted: who has got mail, and who is yet to get it."""

    def __init__(self, kinds, todo, done):
        self.kinds, self.todo, self.done, self.rest, self.in_data = kinds, todo, done, b"", False

    def connection_made(self, transport):
        self.transport, self.name = transport, transport.get_extra_info("sockname")[0]
        match self.kinds.get(self.name):
            case "closed":
                transport.abort()
            case None:
                transport.write(b"220 sink.test\r\n")

    def data_received(self, data):
        if self.kinds.get(self.name):
            return
        self.rest += data
        while self.rest:
            if self.in_data:
                _, dot, after = self.rest.partition(b"\r\n.\r\n")
                if not dot:
                    return
                self.rest, self.in_data = after, False
                self.transport.write(b"250 taken\r\n")
                self.todo.discard(self.name)
                if not self.todo:
                    self.done.set()
                continue
            line, end, after = self.rest.partition(b"\r\n")
            if not end:
                return
            self.rest = after
            verb = line[:4].upper()
            if verb == b"EHLO":
                self.transport.write(b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                self.in_data = True
                self.transport.write(b"354 go on\r\n")
            elif verb == b"QUIT":
                self.transport.write(b"221 bye\r\n")
                self.transport.close()
                return
            else:
                self.transport.write(b"250 ok\r\n")


def hand_in(pickup, domains):
    os.makedirs(pickup)
    for turn, n in enumerate(domains):
        with open(os.path.join(pickup, f"{turn:06}.eml"), "w") as f:
            f.write(f"x-sender: a@destinations.test\nx-receiver: b@d{n:05}.test\nFrom: a@destinations.test\nSubject: one\n\nhello\n")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def run(args, kind, dns, asked):
    """Seconds until all the living have their message; without the dead ones if `kind` is none."""
    dead = [n for n in range(args.domains) if n % 10 == 0]
    living = [n for n in range(args.domains) if n % 10]
    if kind is None:
        order = living
    else:
        order = dead + living if args.order == "first" else range(args.domains)
    kinds = {socket.inet_ntoa(address(n)): kind for n in dead}
    todo, done = {socket.inet_ntoa(address(n)) for n in living}, asyncio.Event()
    loop, servers, sink = asyncio.get_running_loop(), [], free_port()
    for n in living + ([] if kind in (None, "refused") else dead):
        servers.append(await loop.create_server(lambda: Host(kinds, todo, done), socket.inet_ntoa(address(n)), sink))
    folder = tempfile.mkdtemp(prefix="mailroot-destinations-", dir="/var/tmp")
    port, config = free_port(), os.path.join(folder, "mailroot.toml")
    with open(config, "w") as f:
        f.write(CONFIG.format(home=os.path.join(folder, "home"), port=port, dns=dns, sink=sink,
                              connections=args.connections))
    hand_in(os.path.join(folder, "home", "Pickup"), order)
    asked.value = 0
    relay = subprocess.Popen([args.program, "serve", "--config", config], stderr=subprocess.DEVNULL)
    try:
        try:
            await asyncio.wait_for(done.wait(), args.patience)
        except TimeoutError:
            print(f"{kind or 'living alone'}: after {args.patience} s {len(todo)} of the living wait still", flush=True)
        return time.monotonic() - asked.value
    finally:
        relay.send_signal(signal.SIGKILL)
        relay.wait()
        for server in servers:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--domains", type=int, default=10_000)
    p.add_argument("--program", default="target/release/mailroot")
    p.add_argument("--kinds", default="refused,closed,silent")
    p.add_argument("--order", choices=["spread", "first"], default="spread")
    p.add_argument("--connections", type=int, default=1000)
    p.add_argument("--patience", type=int, default=120)
    p.add_argument("--reps", type=int, default=5)
    args = p.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        asked = multiprocessing.Value("d", 0)
        answers = multiprocessing.get_context("fork").Process(target=serve_dns, args=(server, asked), daemon=True)
        answers.start()
        try:
            kinds = [None, *args.kinds.split(",")]
            times = {kind: [] for kind in kinds}
            for rep in range(args.reps):
                for kind in kinds[rep % len(kinds):] + kinds[:rep % len(kinds)]:
                    times[kind].append(asyncio.run(run(args, kind, server.getsockname()[1], asked)))
            alone = statistics.median(times[None])
            for kind, all_times in times.items():
                took, spread = statistics.median(all_times), f"{min(all_times):.1f}-{max(all_times):.1f}"
                print(f"{kind or 'living alone':>12}: all living done after {took:.1f} s ({spread}), ratio {took / alone:.2f}", flush=True)
        finally:
            answers.terminate()


main()
