// gRPC's own complaints in this process's log: the only place where a stranger that TLS turned away
// shows.
#pragma once

namespace bascule::peer {

// For the whole process; repeated calls do nothing.
void TakeGrpcLog();

}  // namespace bascule::peer
