// Keeps this broker registered for as long as its process lives. On the metadata thread, but for Advertise.
//
//   Register ─► of what is owed: has an earlier process told it already?
//            ─► the directory's generation is raised, durably ─► MetaFrontend::Ask (RegisterBroker)
//     applied here ─► what the directory owes is paid (R6b) ─► AppliedMetadata::HandOver (R2b)
//     refused      ─► done(why) · no answer: again
//     an older copy ─► noted in the record, durably ─► its vote is given up ─► done(DataLoss)
//   fenced, or moved ─► registers again · replaced, or removed ─► fatal
//   Retire ─► is fenced (MetaFrontend::FenceSelf) and stays so
#pragma once

#include <memory>
#include <string>

#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "replication/meta/cluster/registration_record.h"
#include "replication/meta/requests/meta_frontend.h"
#include "replication/meta/table/command_register_broker.h"

namespace bascule::metadata {

class BrokerRegistrar {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // `alone`: in a group of one no generation is named, for it would be compared with what lies in the same
  // directory.
  BrokerRegistrar(Executor& home, MetaFrontend& frontend, BrokerSelf self, bool alone);

  // Before Register.
  void SetLog(MetadataLog& log) { log_ = &log; }
  // Says how far the rest of the directory has come; before it nobody does. On the metadata thread.
  void SetPositions(absl::AnyInvocable<DirectoryPositions()> positions) {
    positions_ = std::move(positions);
  }
  // Replicas that are to be doubted (R7b), as the logs were found. Before Register.
  void SetDoubtful(std::vector<DoubtfulReplica> doubtful) {
    registration_.doubtful = std::move(doubtful);
  }
  // This process cannot go on: it was replaced, or removed from the cluster.
  void SetFatal(absl::AnyInvocable<void(const absl::Status&)> fatal) { fatal_ = std::move(fatal); }
  // The address that clients are told; before it this broker is not listed by others. Any thread,
  // also after Register.
  void Advertise(std::string host, int32_t port);
  // Takes the broker's partitions over under new epochs (R2a, R2b), then hands every stream to
  // `sink`, and goes on handing over what changes. What `record` owes is told (R6b), and paid before
  // `sink` hears anything. `done`: all streams are settled, or the refusal (another broker has this
  // server id, the data directory is an older copy, ...); it is tried until there is a leader. Fenced
  // later, the broker registers again by itself.
  void Register(DeltaSink& sink, RegistrationRecord& record, Done done);
  // Nothing is asked any more, handed over or called; the broker stays registered as it is.
  void Stop();
  // The process stops in good order: it is fenced, so that all it leads moves in one command, and
  // does not register again, whatever was on its way. `done`: applied here, refused, or `timeout` is
  // over. Once.
  void Retire(Duration timeout, Done done);
  // Of the data directory, as heartbeats tell it; 0: not registered, or a group of one.
  uint64_t generation() const { return handed_over() ? registration_.generation : 0; }

 private:
  void OnChange();
  void AskWhetherTold();
  bool WasTold() const;
  void BeginRegistration();
  absl::Status PrepareRegistration();
  void EndRegistration(const absl::Status& status);
  void SendRegistration();
  void OnRegistered(const RequestOutcome& outcome);
  void RetryRegistration();
  bool NoteOlderCopy(const absl::Status& refused);
  void LeaveGroup(const absl::Status& why, int attempt);
  void KeepRecord();
  DirectoryPositions Positions() { return positions_ ? positions_() : DirectoryPositions(); }
  void TryHandOver();
  void CheckSession();
  void StayFenced();
  void HandOver();
  bool RegisteredHere() const;
  bool IsFencedHere() const;
  bool handed_over() const { return frontend_.state().handed_over(); }

  Executor& home_;
  MetaFrontend& frontend_;
  const BrokerSelf self_;
  const bool alone_;
  MetadataLog* log_ = nullptr;
  absl::AnyInvocable<void(const absl::Status&)> fatal_;
  absl::AnyInvocable<DirectoryPositions()> positions_;
  DeltaSink* new_sink_ = nullptr;  // until our registration is applied
  RegistrationRecord* record_ = nullptr;
  Done registered_;
  BrokerRegistration registration_;
  bool registering_ = false;
  bool paying_ = false;  // a hand-over that could not be paid for is tried again
  bool replaced_ = false;
  bool retired_ = false;
  bool fencing_ = false;       // retired, and being fenced
  uint64_t record_turns_ = 0;  // of KeepRecord
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
