#!/bin/bash
# A fresh, volatile one-node Ceph with its RADOS gateway on loopback, data in memory.
#   .ci/radosgw.sh start   prints FOLDER on its last line once the gateway answers
#   .ci/radosgw.sh stop FOLDER
# Debian: apt install radosgw ceph-osd ceph-mon ceph-mgr ceph-common ceph-base
# Environment: RADOSGW_PORT (7480), RADOSGW_MONITOR_PORT (16789), RADOSGW_ACCESS_KEY, RADOSGW_SECRET_KEY, TMPDIR
set -euo pipefail

stop() {
  local folder=$1 pid
  case $folder in */cloud-sync-radosgw.*) ;; *) echo "$folder is no folder of this script" >&2; exit 2 ;; esac
  # The gateway first, the monitor last: each ends more quickly while those it talks to are there.
  for name in client.rgw.a mgr.x osd.0 mon.a; do
    [ -f "$folder/$name.pid" ] || continue
    pid=$(cat "$folder/$name.pid")
    # Volatile data: nothing to save. Only a process that was started for this folder is ended.
    if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$folder/"; then kill -9 "$pid" 2>/dev/null || true; fi
  done
  rm -rf "$folder"
}

start() {
  local port=${RADOSGW_PORT:-7480} monitor=${RADOSGW_MONITOR_PORT:-16789}
  local access=${RADOSGW_ACCESS_KEY:-AKIDTEST00000000TEST} secret=${RADOSGW_SECRET_KEY:-secretsecretsecretsecretsecretsecret0000}
  for program in ceph ceph-mon ceph-osd ceph-mgr monmaptool radosgw radosgw-admin; do
    command -v "$program" >/dev/null || { echo "$program is not installed" >&2; exit 3; }
  done
  folder=$(mktemp -d -t cloud-sync-radosgw.XXXXXX)
  trap 'tail -n 20 "$folder"/start.log >&2 || true; stop "$folder"' ERR
  mkdir "$folder"/{mon,osd,mgr,rgw,log}
  local cluster osd
  cluster=$(cat /proc/sys/kernel/random/uuid)
  osd=$(cat /proc/sys/kernel/random/uuid)
  cat >"$folder/ceph.conf" <<CONF
[global]
fsid = $cluster
mon initial members = a
mon host = v2:127.0.0.1:$monitor
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
auth cluster required = none
auth service required = none
auth client required = none
run dir = $folder
admin socket = $folder/\$name.asok
pid file = $folder/\$name.pid
log file = $folder/log/\$name.log
mon cluster log file = $folder/log/cluster.log
keyring = /dev/null
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon data avail warn = 1
mon data avail crit = 1
paxos propose interval = 0.05
paxos min wait = 0.02
mgr stats period = 1
mon warn on pool no redundancy = false
[mon.a]
mon data = $folder/mon
mon addr = 127.0.0.1:$monitor
[mgr]
mgr data = $folder/mgr
mgr initial modules =
mgr module path = /usr/share/ceph/mgr
[osd]
osd data = $folder/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd memory target = 1073741824
osd op num shards = 2
ms async op threads = 2
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw data = $folder/rgw
ms mon client mode = crc
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw dns name = localhost
rgw s3 auth use sts = false
rgw gc max objs = 8
debug rgw = 1
CONF
  export CEPH_CONF=$folder/ceph.conf
  {
    monmaptool --create --fsid "$cluster" --addv a "[v2:127.0.0.1:$monitor]" "$folder/monmap"
    ceph-mon -i a --mkfs --monmap "$folder/monmap" --mon-data "$folder/mon" -c "$CEPH_CONF"
    ceph-mon -i a -c "$CEPH_CONF"
    timeout 30 ceph osd new "$osd" 0
    ceph-osd -i 0 --mkfs --osd-uuid "$osd" -c "$CEPH_CONF"
    ceph-osd -i 0 -c "$CEPH_CONF"
    for _ in $(seq 100); do ceph osd stat | grep -q '1 up' && break; sleep 0.1; done
    timeout 60 radosgw-admin user create --uid=test --display-name=test --access-key="$access" \
      --secret-key="$secret" --max-buckets=0
    for class in STANDARD_IA GLACIER DEEP_ARCHIVE; do
      radosgw-admin zonegroup placement add --rgw-zonegroup default --placement-id default-placement --storage-class $class
      radosgw-admin zone placement add --rgw-zone default --placement-id default-placement --storage-class $class \
        --data-pool default.rgw.buckets.data
    done
    ceph-mgr -i x -c "$CEPH_CONF"
    radosgw -n client.rgw.a -c "$CEPH_CONF"
  } >"$folder/start.log" 2>&1
  for _ in $(seq 200); do
    curl -sf -o /dev/null "http://127.0.0.1:$port/" && break
    sleep 0.1
  done
  curl -sf -o /dev/null "http://127.0.0.1:$port/"
  trap - ERR
  echo "$folder"
}

case ${1:-} in
  start) start ;;
  stop) stop "${2:?folder}" ;;
  *) echo "usage: $0 start | stop FOLDER" >&2; exit 2 ;;
esac
