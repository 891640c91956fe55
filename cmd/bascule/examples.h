// The texts under the flags in `--help`.
#pragma once

namespace bascule::cli {

inline constexpr char kAbout[] =
    "Records NATS subjects into durable streams and replays them from any offset.";

inline constexpr char kRootExamples[] = R"(Examples:
  bascule stream create orders --subject 'orders.>'
  echo hello | bascule publish orders
  bascule subscribe orders --from -10m --follow
  bascule stream info orders
  bascule cluster status
  bascule --server b1:9292,b2:9292 --json stream list | jq .name

Every command has its own --help. BASCULE_SERVER takes the place of --server.)";

inline constexpr char kStreamExamples[] = R"(Examples:
  bascule stream create orders --subject 'orders.>'
  bascule stream list
  bascule stream info orders
  bascule stream update orders --retention-max-age 30d
  bascule stream delete orders)";

inline constexpr char kStreamCreateExamples[] = R"(Examples:
  bascule stream create orders --subject 'orders.>'
  bascule stream create audit -s audit --retention-max-age 30d --retention-max-bytes 50G
  bascule stream create events -s events --partitions 4 --replication-factor 3 --min-isr 2
  bascule stream create orders -s 'orders.>' --if-absent)";

inline constexpr char kStreamUpdateExamples[] = R"(Examples:
  bascule stream update orders --retention-max-age 30d
  bascule stream update audit --retention-max-bytes 0 --segment-max-bytes 1G

What is not named stays as it is. The server says which settings can change.)";

inline constexpr char kStreamListExamples[] = R"(Examples:
  bascule stream list
  bascule stream list --json | jq -r .name)";

inline constexpr char kStreamInfoExamples[] = R"(Examples:
  bascule stream info orders
  bascule stream info orders --json | jq '.partitions[].newest_offset')";

inline constexpr char kStreamGapsExamples[] = R"(Examples:
  bascule stream gaps orders
  bascule stream gaps orders --json | jq 'select(.reason == "disconnected")')";

inline constexpr char kStreamDeleteExamples[] = R"(Examples:
  bascule stream delete orders          (asks; type the name to go on)
  bascule stream delete orders --yes)";

inline constexpr char kPublishExamples[] = R"(Examples:
  bascule publish orders 'a message'
  bascule publish orders --key o-17 --header source=web '{"total": 12}'
  bascule publish orders -p 2 -- -5     (a message that begins with a dash)
  bascule publish orders < lines.txt
  tail -f app.log | bascule publish logs --quiet
  bascule publish --subject orders.eu 'to whoever records orders.eu'

Offsets are printed one a line, in the order of the acks.)";

inline constexpr char kSubscribeExamples[] = R"(Examples:
  bascule subscribe orders                          everything, then end
  bascule subscribe orders --follow                 everything, then what comes
  bascule subscribe orders --from new               only what comes
  bascule subscribe orders --from -10m --until -5m
  bascule subscribe orders --from 1000 --count 10 --json
  bascule subscribe orders --reverse --count 5      the five newest
  bascule subscribe images --from 7 --count 1 --format raw -o image.png

Offsets and times given to --from and --until are included.)";

inline constexpr char kServerInfoExamples[] = R"(Examples:
  bascule server info
  bascule --server b2:9292 server info --json | jq .degraded)";

inline constexpr char kClusterExamples[] = R"(Examples:
  bascule cluster status
  bascule --server b1:9292,b2:9292,b3:9292 cluster status
  bascule cluster certs --out certs --server-id b1,b2,b3
  bascule cluster remove b3
  bascule cluster transfer b2)";

inline constexpr char kClusterStatusExamples[] = R"(Examples:
  bascule cluster status
  bascule cluster status --json | jq -r '.members[] | select(.live | not) | .server_id'
  until bascule cluster status > /dev/null; do sleep 1; done

Exit status: 0 when all is well, 6 when something is degraded, 7 without a leader.)";

inline constexpr char kClusterAddExamples[] = R"(Examples:
  bascule cluster add b4.example.com:9293

A broker with cluster.join, or on the same NATS and namespace, joins by itself; this is
for one that waits without either.)";

inline constexpr char kClusterRemoveExamples[] = R"(Examples:
  bascule cluster remove b3
  bascule cluster remove b3 --force     (it lives, or leads partitions)

For ever: its data directory cannot come back. The same machine may join again with an
empty one.)";

inline constexpr char kClusterTransferExamples[] = R"(Examples:
  bascule cluster transfer              (to the best follower)
  bascule cluster transfer b2

This moves the leadership of the metadata, not that of partitions.)";

inline constexpr char kBenchExamples[] = R"(Examples:
  bascule bench publish load --create --count 1000000 --size 128,1K,16K
  bascule bench replay load)";

inline constexpr char kBenchPublishExamples[] = R"(Examples:
  bascule bench publish load --create
  bascule bench publish load --count 1000000 --size 128,1K,16K --window 1000
  bascule bench publish s1 s2 s3 s4 --create --ack leader --json

What is published is recorded like everything else; `bascule stream delete` removes it.)";

inline constexpr char kBenchReplayExamples[] = R"(Examples:
  bascule bench replay load
  bascule bench replay s1 s2 s3 s4 --json)";

inline constexpr char kLogExamples[] = R"(Examples:
  bascule log inspect /var/lib/bascule/streams/7/0
  bascule log verify /var/lib/bascule/streams/7/0 && echo sound

Both only read. Under a running broker the active segment may show a torn tail, which is
no damage.)";

}  // namespace bascule::cli
