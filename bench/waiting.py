#!/usr/bin/env python3
"""How the relay bears 100,000 messages of 10 KiB that wait for a dead host (loopback only).

    cargo build --release --locked && python3 bench/waiting.py [--messages 100000] [--program target/release/mailroot]

Needs Postfix's `smtp-source`. Prints the accept rate of each tenth, the peak of the memory, and after a kill -9 the
time from the start to the first 250 for a message. Ends what it started, and removes its folder.
"""
import argparse, os, shutil, signal, smtplib, socket, subprocess, tempfile, time

CONFIG = """
[[virtual_server]]
name = "waiting"
home = "{home}"
[virtual_server.general]
listen = ["127.0.0.1:{port}"]
[virtual_server.access]
relay = {{ only = ["127.0.0.0/8"] }}
[virtual_server.messages]
session_size_max = "unlimited"
[virtual_server.delivery]
fqdn = "waiting.test"
smart_host = "[127.0.0.1]:1"
"""


def memory(pid, field):
    name = "smaps_rollup" if field == "Pss" else "status"
    with open(f"/proc/{pid}/{name}") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":")) // 1024


def start(program, config):
    began = time.monotonic()
    relay = subprocess.Popen([program, "serve", "--config", config], stderr=subprocess.DEVNULL)
    return relay, began


def first_250(port, began):
    while time.monotonic() - began < 60:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as s:
                s.sendmail("a@waiting.test", ["b@far.test"], "Subject: first\r\n\r\nhello\r\n")
            return time.monotonic() - began
        except OSError:
            time.sleep(0.01)
    raise SystemExit("no 250 within a minute")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--messages", type=int, default=100_000)
    p.add_argument("--program", default="target/release/mailroot")
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="mailroot-waiting-", dir="/var/tmp")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    config = os.path.join(folder, "mailroot.toml")
    with open(config, "w") as f:
        f.write(CONFIG.format(home=os.path.join(folder, "home"), port=port))
    relay, began = start(args.program, config)
    try:
        first_250(port, began)
        peak, rates, tenth = 0, [], args.messages // 10
        for _ in range(10):
            t = time.monotonic()
            load = subprocess.Popen(["smtp-source", "-s", "20", "-m", str(tenth), "-l", "10240", "-d", "-f",
                                     "a@waiting.test", "-t", "b@far.test", f"127.0.0.1:{port}"])
            while load.poll() is None:
                peak = max(peak, memory(relay.pid, "Pss"))
                time.sleep(0.1)
            rates.append(round(tenth / (time.monotonic() - t)))
            print(f"{len(rates) * tenth:>8} waiting: accepted {rates[-1]}/s, PSS {memory(relay.pid, 'Pss')} MiB", flush=True)
        print("peak PSS", peak, "MiB; peak RSS", memory(relay.pid, "VmHWM"), "MiB")
        relay.send_signal(signal.SIGKILL)
        relay.wait()
        relay, began = start(args.program, config)
        print(f"kill -9, start: first 250 after {first_250(port, began):.2f} s")
        time.sleep(5)
        print("PSS 5 s after the start", memory(relay.pid, "Pss"), "MiB; peak RSS", memory(relay.pid, "VmHWM"), "MiB")
    finally:
        relay.kill()
        relay.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
