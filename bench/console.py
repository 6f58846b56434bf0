#!/usr/bin/env python3
"""How quick the console's pages are while 100,000 messages wait and 2,000 sessions are open, and what a viewer costs the relay.

usage: console.py [--program PROGRAM] [--messages 100000] [--sessions 2000] [--pairs 8] [--load 20000]

First the milliseconds until the first octet of each page (median and most of twelve), as a client on loopback sees them. The smart host
is an address where nobody listens, so that everything waits.

Then the relay's throughput with all that waiting: `--load` messages of 1 KiB from Postfix's smtp-source through the relay to its
smtp-sink, once with nobody looking on and once with a viewer, `--pairs` times in turn; what is compared is the median of all. A viewer
does what a browser does: it listens to /events, and with each event fetches its page anew; here it goes to another page each
time, so that each has its share. `--pairs 0` leaves this out. Needs Debian's package postfix for it.
"""
import argparse, http.client, json, os, re, resource, shutil, socket, statistics, subprocess, tempfile, threading, time

CLIENTS = 32
SMTP, WEB, SINK = ("127.0.0.1", 2977), ("127.0.0.1", 8979), ("127.0.0.1", 2979)
PAGES = """/ /alarms /servers/Test/sessions /servers/Test/sessions?find=idle1999 /servers/Test/queue /servers/Test/queue/messages
/servers/Test/queue/messages?recipient=u3- /servers/Test/queue/messages?recipient=nobody /servers/Test/queue/messages?reason=refused
/servers/Test/counters /servers/Test/badmail /series.json""".split()


def configuration(home, sessions):
    return f"""[console]
listen = ["{WEB[0]}:{WEB[1]}"]
[[virtual_server]]
name = "Test"
home = "{home}"
[virtual_server.general]
listen = ["{SMTP[0]}:{SMTP[1]}"]
connections_max = {sessions + CLIENTS + 100}
[virtual_server.access]
relay = {{ only = ["127.0.0.0/8"] }}
[virtual_server.messages]
session_size_max = "unlimited"
messages_per_connection = "unlimited"
[virtual_server.delivery]
fqdn = "relay.test"
smart_host = "[127.0.0.9]:2978"
retry = ["4 h"]
glitch_retry = {{ every = "1 h", times = 1 }}
[[virtual_server.domain]]
name = "local.test"
kind = "default"
[[virtual_server.domain]]
name = "load.test"
kind = "remote"
route = "smtp://[{SINK[0]}]:{SINK[1]}"
"""


def request(method, path, body=None, **fields):
    link = http.client.HTTPConnection(*WEB, timeout=60)
    fields["Host"] = f"{WEB[0]}:{WEB[1]}"
    if body is not None:
        fields["Content-Type"] = "application/x-www-form-urlencoded"
    start = time.perf_counter()
    link.request(method, path, body, fields)
    answer = link.getresponse()
    first = (time.perf_counter() - start) * 1000
    return answer, answer.read(), first


def hand_in(count, client):
    link = socket.create_connection(SMTP)
    said = link.makefile("rb")
    said.readline()
    link.sendall(b"EHLO client.test\r\n")
    while said.readline()[3:4] == b"-":
        pass
    content = b"Subject: hello\r\nFrom: a@local.test\r\n\r\n" + b"x" * 70 + b"\r\n.\r\n"
    for at in range(count):
        link.sendall(b"MAIL FROM:<a%d@local.test>\r\nRCPT TO:<u%d-%d@far%d.test>\r\nDATA\r\n" % (client, client, at, at % 50))
        assert [said.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
        link.sendall(content)
        assert said.readline()[:3] == b"250"
    link.sendall(b"QUIT\r\n")


def fill(messages, sessions):
    """Gives the open sessions; they last as long as these are kept."""
    start = time.time()
    clients = [threading.Thread(target=hand_in, args=(messages // CLIENTS, at)) for at in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    print(f"{messages} messages handed in within {time.time() - start:.1f} s", flush=True)
    idle = []
    for at in range(sessions):
        idle.append(socket.create_connection(SMTP))
        idle[-1].recv(200)
        idle[-1].sendall(b"EHLO idle%d.test\r\n" % at)
    return idle


def pages(cookie):
    for page in PAGES:
        times = []
        for _ in range(12):
            answer, body, first = request("GET", page, Cookie=cookie)
            times.append(first)
            time.sleep(0.15)
        median, most = statistics.median(times), max(times)
        print(f"{page:56} {answer.status} {len(body):7} octets  first {median:6.1f} ms, most {most:6.1f}", flush=True)


class Viewer(threading.Thread):
    """Looks on until told to stop. What it fetched stands in `fetched`."""

    def __init__(self, cookie):
        super().__init__()
        self.cookie, self.over, self.fetched = cookie, False, 0

    def run(self):
        link = http.client.HTTPConnection(*WEB, timeout=60)
        link.request("GET", "/events", headers={"Cookie": self.cookie, "Host": f"{WEB[0]}:{WEB[1]}"})
        events = link.getresponse()
        assert events.status == 200, events.status
        while not self.over:
            line = events.readline()
            assert line, "the events have ended"
            if line == b"\n":
                answer, *_ = request("GET", PAGES[self.fetched % len(PAGES)], Cookie=self.cookie, **{"X-Background": "1"})
                assert answer.status == 200, answer.status
                self.fetched += 1
        link.close()


def waiting(cookie):
    answer, body, _ = request("GET", "/api/v1/servers/Test", Cookie=cookie)
    assert answer.status == 200, body
    return json.loads(body)["queue"]


def through(load, cookie):
    """Messages a second, from the first one handed in to the last one delivered."""
    before = waiting(cookie)
    start = time.perf_counter()
    subprocess.run(["smtp-source", "-s", "20", "-m", str(load), "-l", "1024", "-f", "a@local.test", "-t", "u@load.test",
                    f"{SMTP[0]}:{SMTP[1]}"], check=True)
    until = time.perf_counter() + 60
    while waiting(cookie) > before:
        assert time.perf_counter() < until, "not delivered within a minute"
        time.sleep(0.02)
    return load / (time.perf_counter() - start)


def with_a_viewer(pairs, load, cookie):
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(["smtp-sink", *user, f"{SINK[0]}:{SINK[1]}", "1024"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        assert sink.poll() is None, "smtp-sink has ended"
        through(load, cookie)
        alone, watched, fetched = [], [], 0
        for pair in range(pairs):
            # Which comes first changes, so that what drifts concerns both alike.
            for looks_on in (False, True) if pair % 2 else (True, False):
                if looks_on:
                    viewer = Viewer(cookie)
                    viewer.start()
                    watched.append(through(load, cookie))
                    viewer.over = True
                    viewer.join()
                    fetched += viewer.fetched
                else:
                    alone.append(through(load, cookie))
            print(f"messages/s: {alone[-1]:.0f} with nobody looking on, {watched[-1]:.0f} with a viewer", flush=True)
        without, with_one = statistics.median(alone), statistics.median(watched)
        print(f"medians {without:.0f} and {with_one:.0f}: {100 * (1 - with_one / without):.1f} % less with a viewer ({fetched} pages)")
    finally:
        sink.terminate()
        sink.wait()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default="target/release/mailroot")
    p.add_argument("--messages", type=int, default=100_000)
    p.add_argument("--sessions", type=int, default=2_000)
    p.add_argument("--pages", type=int, default=1, help="0: leaves the pages out")
    p.add_argument("--pairs", type=int, default=8)
    p.add_argument("--load", type=int, default=20_000)
    args = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="console-", dir="/var/tmp")
    path, log = os.path.join(folder, "mailroot.toml"), os.path.join(folder, "log")
    open(path, "w").write(configuration(os.path.join(folder, "home"), args.sessions))
    with open(log, "w") as out:
        service = subprocess.Popen([args.program, "serve", "--config", path], stdout=out, stderr=out)
    try:
        link = None
        for _ in range(100):
            link = re.search(r"/invite/[0-9a-f]{64}", open(log).read())
            if link:
                break
            time.sleep(0.1)
        answer, *_ = request("POST", link[0], "password=correct+horse+battery&again=correct+horse+battery")
        cookie = answer.getheader("set-cookie").split(";")[0]
        idle = fill(args.messages, args.sessions)
        time.sleep(3)
        if args.pages:
            pages(cookie)
        if args.pairs:
            # All that waits has its files by now.
            time.sleep(15)
            with_a_viewer(args.pairs, args.load, cookie)
        del idle
    finally:
        service.terminate()
        service.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


main()
