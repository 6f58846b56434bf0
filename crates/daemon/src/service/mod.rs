//! The life of the process: start, signals, reload, stop.
//!
//! [`run`] starts every virtual server of a configuration and keeps them until the process is told to end. One whose
//! folder or ports cannot be used does not keep the others from starting; if none starts, the process ends with 1. What an operator has
//! stopped stays stopped ([`states`]); if that is all, the process waits until one is started. One that takes long to start, because its
//! queue is large, holds up nobody: operators come in as soon as one runs, and the others follow ([`starts`]).
//!
//! - **SIGTERM, SIGINT**: stop. Nothing more is accepted; sessions hear 421 at their next command; what is in flight gets
//!   [`STOP_BOUND`] to finish, the rest is in the queue on disk anyway. A second signal does not wait.
//! - **SIGHUP**: read the configuration again. A bad file changes nothing and is reported; a good one is carried out by
//!   [`servers`], which touches only what has changed.
//! - Operators: what they want comes as [`control::Order`]s, one after the other ([`crate::control`]).
//! - systemd: `READY=1` (when nothing is starting any more, or only what is not waited for), `RELOADING=1`, `STOPPING=1`, the watchdog, and sockets that it hands over.
//!
//! It decides nothing about mail, and has no settings but those of the command line.

mod configuration;
mod halted;
mod limits;
mod notify;
mod observe;
mod servers;
mod starts;
mod states;

#[cfg(test)]
mod tests;

pub use configuration::{ConfigFile, Loaded, Unusable};
pub use limits::open_files;
pub use observe::Site;
pub use servers::{Carried, Running, Servers};
pub use starts::{Faults, Opened, Starts};
pub use states::{Changed, Unchanged};

use crate::clock::{Clock, Drift};
use crate::control::operators::Operators;
use crate::control::socket::Socket;
use crate::control::{self, Control, Order, Orders};
use crate::listen::Inherited;
use crate::log::Log;
use crate::web::Console;
use notify::{Pulse, START_EXTENDED_EVERY, Supervisor};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// How long a stopping service lets what is in flight come to its end.
pub const STOP_BOUND: Duration = Duration::from_secs(25);
/// How often the clock is compared with the system's.
const RESYNCHRONISE_EVERY: Duration = Duration::from_secs(60);
/// How long the runtime's last tasks get when everything is stopped.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// What the command line chose.
pub struct Service {
    /// Where the configuration lies.
    pub file: ConfigFile,
    /// What it said when it was read.
    pub loaded: Loaded,
    /// Threads for sockets; `None`: one for each core.
    pub threads: Option<usize>,
    /// The log.
    pub log: Log,
    /// The time.
    pub clock: Clock,
}

/// What has started.
pub struct Ready<'a> {
    /// The virtual servers; some may be starting still.
    pub servers: &'a Servers,
    /// Where the console is: `http://127.0.0.1:8025`; `None`: nowhere.
    pub console: Option<String>,
    /// While nobody can log on: by this link the first administrator sets his password, one time.
    pub link: Option<&'a str>,
}

/// Runs until the process is told to stop. `ready` is called once a virtual server runs and operators may come in.
///
/// # Errors
/// Nothing could be started; each reason in a sentence.
pub fn run(service: Service, ready: impl FnOnce(&Ready<'_>)) -> Result<(), Vec<String>> {
    // One thread for every two cores: journal and queue have their own, and fewer wake-ups make each message cheaper.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match service.threads.unwrap_or_else(|| cores.div_ceil(2)) {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = match builder.thread_name("sockets").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Err(vec![format!("The system gives no threads for sockets: {error}.")]),
    };
    let ended = runtime.block_on(live(service, ready));
    runtime.shutdown_timeout(LAST_TASKS);
    ended
}

async fn live(service: Service, ready: impl FnOnce(&Ready<'_>)) -> Result<(), Vec<String>> {
    let log = service.log;
    let signals = Signals::new();
    let mut signals = signals.map_err(|error| vec![format!("The system takes no orders for signals: {error}.")])?;
    let mut servers = Servers::new(log.clone(), service.clock, Inherited::from_environment());
    let supervisor = Supervisor::from_environment(&log);
    let faults = tokio::select! {
        faults = begin(&mut servers, &service.loaded, &supervisor) => faults,
        () = signals.end() => {
            servers.stop(STOP_BOUND).await;
            return Ok(());
        }
    };
    if servers.is_empty() {
        return Err(faults.texts());
    }
    faults.tell();
    servers.report_unused_sockets();
    let (clock, passwords) = (servers.clock().clone(), servers.passwords().clone());
    let operators = Operators::open(servers.state(), passwords, log.clone(), clock.clone());
    let (control, mut orders) = Control::new(&service.file, servers.state(), &clock, operators);
    let socket = Socket::open(&control, servers.state(), &log);
    let console = Console::new(&control, servers.state(), &log, &clock);
    let mut doors = Doors { socket, console };
    doors.follow(&servers).await;
    let console = &doors.console;
    ready(&Ready { servers: &servers, console: console.address(), link: console.link() });
    let points = control.take_points();
    // Until the very end: what is in flight may take longer than the watchdog waits.
    let pulse = supervisor.watch();
    serve(&mut servers, &mut doors, &mut signals, &supervisor, &pulse, &service.file, &mut orders).await;
    drop(doors);
    points.abort();
    supervisor.stopping();
    tokio::select! {
        () = servers.stop(STOP_BOUND) => {}
        () = signals.end() => {
            log.alarm("Told to stop a second time: not waiting for what is in flight. It stays in the queue.");
        }
    }
    Ok(())
}

/// Starts what shall run, until one does, or nothing is to be waited for. (As long as nobody has a home, its lock does not say that
/// another process is not at work; so the doors stay closed.)
async fn begin(servers: &mut Servers, loaded: &Loaded, supervisor: &Supervisor) -> Faults {
    let mut faults = servers.take_over(loaded).await.faults;
    let mut extend = tokio::time::interval(START_EXTENDED_EVERY);
    while servers.is_starting() && servers.iter().next().is_none() {
        tokio::select! {
            opened = servers.opened() => faults.extend(servers.finish(opened).await),
            _ = extend.tick() => tell_of_starts(servers, supervisor),
        }
    }
    faults
}

/// The service manager hears that the start goes on, as long as that is worth waiting for; operators hear of what takes too long.
fn tell_of_starts(servers: &mut Servers, supervisor: &Supervisor) {
    servers.tell_of_long_starts();
    if servers.is_start_awaited() {
        supervisor.starting(&servers.summary());
    }
}

/// Where operators come in.
struct Doors {
    socket: Option<Socket>,
    console: Console,
}

impl Doors {
    /// Makes them what the configuration says.
    async fn follow(&mut self, servers: &Servers) {
        let Some(wanted) = servers.console() else { return };
        if let Some(socket) = &self.socket {
            socket.follow(&wanted.groups, servers.log());
        }
        self.console.follow(wanted).await;
    }
}

/// Until a signal says stop.
async fn serve(
    servers: &mut Servers,
    doors: &mut Doors,
    signals: &mut Signals,
    supervisor: &Supervisor,
    pulse: &Pulse,
    file: &ConfigFile,
    orders: &mut Orders,
) {
    let from = Instant::now() + RESYNCHRONISE_EVERY;
    let mut resynchronise = tokio::time::interval_at(from, RESYNCHRONISE_EVERY);
    let mut extend = tokio::time::interval(START_EXTENDED_EVERY);
    extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut jumped, mut is_ready) = (false, false);
    loop {
        if !is_ready && !servers.is_start_awaited() {
            supervisor.ready(&servers.summary());
            is_ready = true;
        }
        let turn = next_turn(servers, signals, orders, &mut extend, &mut resynchronise, pulse).await;
        match turn {
            Turn::End => return,
            Turn::Reload => {
                supervisor.reloading();
                is_ready = false;
                reload(servers, file).await;
                doors.follow(servers).await;
            }
            Turn::Order(order) => {
                control::obey(order, servers, file).await;
                doors.follow(servers).await;
            }
            Turn::Opened(opened) => {
                servers.finish(*opened).await.tell();
                is_ready = false;
            }
            Turn::Ended => servers.forget_ended(),
            Turn::Starting => tell_of_starts(servers, supervisor),
            Turn::Resynchronise => {
                jumped = follow_time(servers, jumped);
                // A port that was taken may be free by now.
                doors.console.try_again().await;
            }
        }
    }
}

/// What the service's loop does next.
enum Turn {
    End,
    Reload,
    Order(Order),
    /// A virtual server that was starting can run, or not.
    Opened(Box<Opened>),
    /// One has come to its end.
    Ended,
    /// Some are starting still.
    Starting,
    Resynchronise,
}

async fn next_turn(
    servers: &mut Servers,
    signals: &mut Signals,
    orders: &mut Orders,
    extend: &mut Interval,
    resynchronise: &mut Interval,
    pulse: &Pulse,
) -> Turn {
    let (ended, is_starting) = (servers.some_end(), servers.is_starting());
    pulse.rests();
    let turn = tokio::select! {
        _ = signals.terminate.recv() => Turn::End,
        _ = signals.interrupt.recv() => Turn::End,
        _ = signals.reload.recv() => Turn::Reload,
        Some(order) = orders.recv() => Turn::Order(order),
        opened = servers.opened() => Turn::Opened(Box::new(opened)),
        () = ended => Turn::Ended,
        _ = extend.tick(), if is_starting => Turn::Starting,
        _ = resynchronise.tick() => Turn::Resynchronise,
    };
    pulse.works();
    turn
}

async fn reload(servers: &mut Servers, file: &ConfigFile) {
    match file.load() {
        Ok(loaded) => {
            // What has begun to start tells of itself. If nothing runs any more, the service waits for a better file.
            servers.take_over(&loaded).await.faults.tell();
        }
        Err(unusable) => {
            for line in unusable.lines() {
                servers.log().alarm(line);
            }
            servers.log().alarm("The changed configuration is not used; the one from before goes on.");
        }
    }
}

/// Tells of a jump of the system's time once, when it happens.
fn follow_time(servers: &Servers, jumped: bool) -> bool {
    let Drift::Large(ahead) = servers.clock().resynchronise() else { return false };
    if !jumped {
        let (seconds, way) = (ahead.unsigned_abs() / 1_000, if ahead > 0 { "forwards" } else { "backwards" });
        servers.log().alarm(format!(
            "The system's time has jumped {way} by {seconds} s. Mailroot goes on by its own clock, so that no message is late \
             or expires by this; restart it to take over the system's time."
        ));
    }
    true
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the process is told to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
