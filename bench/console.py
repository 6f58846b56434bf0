#!/usr/bin/env python3
"""How quick the console's pages are while 100,000 messages wait and 2,000 sessions are open.

usage: console.py [PROGRAM [MESSAGES [SESSIONS]]]

Milliseconds until the first octet of each page (median and most of twelve), as a client on loopback sees them. The smart host is an
address where nobody listens, so that everything waits.
"""
import http.client, os, re, resource, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

PROGRAM = sys.argv[1] if len(sys.argv) > 1 else "target/release/mailroot"
MESSAGES = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
SESSIONS = int(sys.argv[3]) if len(sys.argv) > 3 else 2_000
CLIENTS = 32
SMTP, WEB = ("127.0.0.1", 2977), ("127.0.0.1", 8979)
PAGES = """/ /alarms /servers/Test/sessions /servers/Test/sessions?find=idle1999 /servers/Test/queue /servers/Test/queue/messages
/servers/Test/queue/messages?recipient=u3- /servers/Test/queue/messages?recipient=nobody /servers/Test/queue/messages?reason=refused
/servers/Test/counters /servers/Test/badmail /series.json""".split()


def configuration(home):
    return f"""[console]
listen = ["{WEB[0]}:{WEB[1]}"]
[[virtual_server]]
name = "Test"
home = "{home}"
[virtual_server.general]
listen = ["{SMTP[0]}:{SMTP[1]}"]
connections_max = {SESSIONS + CLIENTS + 10}
[virtual_server.access]
relay = {{ only = ["127.0.0.0/8"] }}
[virtual_server.delivery]
fqdn = "relay.test"
smart_host = "[127.0.0.9]:2978"
retry = ["4 h"]
glitch_retry = {{ every = "1 h", times = 1 }}
[[virtual_server.domain]]
name = "local.test"
kind = "default"
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


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="console-")
    path, log = os.path.join(folder, "mailroot.toml"), os.path.join(folder, "log")
    open(path, "w").write(configuration(os.path.join(folder, "home")))
    with open(log, "w") as out:
        service = subprocess.Popen([PROGRAM, "serve", "--config", path], stdout=out, stderr=out)
    try:
        link = None
        for _ in range(100):
            link = re.search(r"/invite/[0-9a-f]{64}", open(log).read())
            if link:
                break
            time.sleep(0.1)
        answer, *_ = request("POST", link[0], "password=correct+horse+battery&again=correct+horse+battery")
        cookie = answer.getheader("set-cookie").split(";")[0]
        start = time.time()
        clients = [threading.Thread(target=hand_in, args=(MESSAGES // CLIENTS, at)) for at in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        print(f"{MESSAGES} messages handed in within {time.time() - start:.1f} s")
        idle = []
        for at in range(SESSIONS):
            idle.append(socket.create_connection(SMTP))
            idle[-1].recv(200)
            idle[-1].sendall(b"EHLO idle%d.test\r\n" % at)
        time.sleep(3)
        for page in PAGES:
            times = []
            for _ in range(12):
                answer, body, first = request("GET", page, Cookie=cookie)
                times.append(first)
                time.sleep(0.15)
            print(f"{page:56} {answer.status} {len(body):7} octets  first {statistics.median(times):6.1f} ms, most {max(times):6.1f}")
    finally:
        service.terminate()
        service.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


main()
