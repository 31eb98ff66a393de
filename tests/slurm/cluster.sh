#!/bin/sh
# A Slurm of one machine for tests, on loopback only: cluster.sh install | start DIR | stop DIR | node DIR | control DIR
#
# `install` fetches Debian's packages. `start` makes a key, a configuration and the daemons' state below DIR, which must
# lie on a path of few characters (munge's socket), and starts munged, slurmctld and slurmd; with SLURM_CONF=DIR/slurm.conf
# the commands of Slurm talk to it. `stop` ends what `start` started, by the ids that are noted in DIR. `node` and `control`
# start slurmd or slurmctld again after a test has ended it.
# Exit status 77: this machine cannot (no root, no packages).
set -eu

command=${1:-}
dir=${2:-}
host=$(hostname -s)

fail() {
    echo "cluster.sh: $1" >&2
    exit "${2:-1}"
}

install() {
    [ "$(id -u)" = 0 ] || fail "only root can install packages" 77
    command -v apt-get >/dev/null || fail "there is no apt-get" 77
    command -v slurmctld >/dev/null && command -v munged >/dev/null && return
    # Nothing of the system starts by itself; a machine that runs services has a Slurm of its own to lose.
    export DEBIAN_FRONTEND=noninteractive
    (apt-get update && apt-get install -y --no-install-recommends slurm-wlm munge) >/dev/null 2>&1 ||
        fail "slurm-wlm and munge cannot be installed" 77
}

able() {
    [ "$(id -u)" = 0 ] || fail "the daemons need root" 77
    for program in munged slurmctld slurmd sbatch; do
        command -v $program >/dev/null || fail "$program is not installed (cluster.sh install)" 77
    done
}

configure() {
    mkdir -p "$dir/munge" "$dir/state" "$dir/spool"
    chmod 700 "$dir/munge"
    dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 2>/dev/null
    chmod 400 "$dir/munge/key"
    cat >"$dir/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CryptoType=crypto/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=${SLURM_PORT:-16817}
SlurmdPort=$((${SLURM_PORT:-16817} + 1))
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MinJobAge=600
MaxArraySize=${SLURM_MAX_ARRAY:-40}
PropagateResourceLimits=NONE
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=small Nodes=$host Default=YES MaxTime=60 State=UP
END
    echo "CgroupPlugin=cgroup/v1" >"$dir/cgroup.conf"
}

control() { slurmctld -f "$dir/slurm.conf"; }

node() { slurmd -f "$dir/slurm.conf"; }

start() {
    able
    [ -n "$dir" ] || fail "say in which folder"
    configure
    munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/munged.pid" \
        --log-file="$dir/munge/munged.log" --seed-file="$dir/munge/seed"
    control
    node
    export SLURM_CONF="$dir/slurm.conf"
    for _ in $(seq 150); do
        sinfo -h -o %t 2>/dev/null | grep -q idle && return
        sleep 0.1
    done
    tail -n 5 "$dir/slurmctld.log" "$dir/slurmd.log" >&2 || true
    stop
    fail "the node did not come up within 15 s"
}

stop() {
    for file in slurmd.pid slurmctld.pid munge/munged.pid; do
        [ -s "$dir/$file" ] || continue
        pid=$(cat "$dir/$file")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 50); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
}

case $command in
install | start | stop | control | node) $command ;;
*) fail "install | start DIR | stop DIR | control DIR | node DIR" 2 ;;
esac
