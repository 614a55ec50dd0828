# The habits of this project, one name each. `just` lists them; each is a plain command that runs without just too.

loom_target := "target/loom"

default:
    @just --list

# Before each commit: format, lints, tidy.
pre:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --locked -p tests --test tidy

# Runs the program, for example `just run serve examples/site`.
run *ARGS:
    cargo run --release --locked -- {{ ARGS }}

# The tests and the examples in the documentation.
test *ARGS:
    cargo test --workspace --locked {{ ARGS }}

# The tests, and those that need a build or a browser of their own.
test-all: test loom sim test-browser

# Installs Chromium and its driver, where they are absent.
browser:
    .ci/browser

# The pages of the examples in Chromium; pictures of them are left in target/tmp.
test-browser: browser
    cargo test --locked -p examples -- --ignored browser:: site_pages::

# Measures sws beside its contestants; see BENCHMARKING.md.
bench *ARGS:
    cargo run --release --locked -p benches --bin compare -- {{ ARGS }}

# The same at a size that only shows that it runs.
bench-tiny:
    cargo run --release --locked -p benches --bin compare -- --tiny

# Every measuring program once, as one document; an argument such as --tiny goes to it.
figures *ARGS:
    cargo build --release --locked -p examples --example bench_server --example log_server
    cargo build --release --locked -p benches --bins
    cargo run --release --locked -p benches --bin figures -- {{ ARGS }}

# A million idle WebSocket connections in one server process; `--connections 15000` takes a minute.
million *ARGS:
    cargo run --release --locked -p benches --bin million -- {{ ARGS }}

# The members of a topic that read, beside a thousand that have stopped.
slow-peers *ARGS:
    cargo run --release --locked -p benches --bin slow_peers -- {{ ARGS }}

# Slots and deadlines for a million connections, without sockets.
slots-million *ARGS:
    cargo run --release --locked -p benches --bin slots_million -- {{ ARGS }}

# Each fuzz target for SECONDS.
fuzz SECONDS="60":
    .ci/fuzz {{ SECONDS }}

# The scripted ring: 10,000 seeds, or one SEED as a failing test prints it.
sim SEED="":
    RUSTFLAGS="--cfg sws_sim" {{ if SEED == "" { "" } else { "SWS_SIM_SEED=" + SEED } }} SWS_SIM_SEEDS="${SWS_SIM_SEEDS:-10000}" CARGO_PROFILE_DEV_OPT_LEVEL=2 cargo test --locked -p tests --test sim -- --nocapture

# Messages of any size in any pieces: 1,000 seeds, or one SEED as a failing test prints it.
ws-sizes SEED="":
    {{ if SEED == "" { "" } else { "SWS_SIZES_SEED=" + SEED } }} SWS_SIZES_SEEDS="${SWS_SIZES_SEEDS:-1000}" cargo test --release --locked -p sws --test websocket_sizes

# Sockets whose peers break off for SECONDS, and whose peers stop reading.
ws-faults SECONDS="60":
    SWS_FAULTS_SECONDS={{ SECONDS }} cargo test --release --locked -p sws --test websocket_faults -- --nocapture

# The documentation, without warnings.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Layers, sizes, unsafe code, documents.
tidy:
    cargo test --locked -p tests --test tidy

# The cross-thread door under every interleaving.
loom:
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR={{ loom_target }} cargo test --locked -p sws-runtime --test loom_door --release

# Licences, bans and sources of the dependencies.
deny:
    cargo deny check licenses bans sources

# A process that produces, killed at random ROUNDS times: nothing that was acknowledged is missing.
log-crash ROUNDS="1000":
    SWS_CRASH_ROUNDS={{ ROUNDS }} cargo test --release --locked -p sws-content --test log_crash -- --include-ignored --nocapture

# The log on a storage whose power goes at every call, from SEEDS seeds.
log-power SEEDS="20":
    SWS_POWER_SEEDS={{ SEEDS }} cargo test --release --locked -p sws-content --test log_power

# Opening a log of a gigabyte.
log-recovery:
    cargo test --release --locked -p sws-content --test log_crash_recovery -- --ignored --nocapture
