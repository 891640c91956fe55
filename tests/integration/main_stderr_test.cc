// Whoever reads the broker's standard error stops reading: nothing else stops.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "tests/integration/honest_publisher.h"

namespace bascule::main_job {
namespace {

// Standard error as a pipe of one page, read only when told.
class ErrorPipe {
 public:
  ErrorPipe() : path_(files_.Path("stderr")) {
    REQUIRE(mkfifo(path_.c_str(), 0600) == 0);
    reader_ = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader_ >= 0);
    REQUIRE(fcntl(reader_, F_SETPIPE_SZ, 4096) == 4096);
  }
  ~ErrorPipe() { close(reader_); }
  // Starts `broker` with it; nobody writes its log to a file then.
  void Launch(MainBroker& broker) {
    broker.PutAt(broker.address(), {"sh", "-c", "exec \"$0\" \"$@\" 2>" + path_});
    broker.Launch();
    (void)broker.Info();
  }
  std::string Read() {
    char buffer[4096];
    ssize_t got = 0;
    while ((got = read(reader_, buffer, sizeof(buffer))) > 0)
      text_.append(buffer, static_cast<size_t>(got));
    return text_;
  }
  void Fill() {
    const int writer = open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(writer >= 0);
    while (write(writer, "x", 1) == 1) {
    }
    close(writer);
  }

 private:
  TempDir files_;
  const std::string path_;
  int reader_ = -1;
  std::string text_;
};

void DeleteStream(MainBroker& broker, const std::string& name) {
  proto::DeleteStreamRequest request;
  request.set_name(name);
  proto::DeleteStreamResponse response;
  grpc::ClientContext context;
  Bound(context);
  REQUIRE(broker.api().DeleteStream(&context, request, &response).ok());
}

// An honest publisher while other things happen of which each has something to say, on the threads
// that it concerns.
HonestResult BesideChurn(MainBroker& broker, const std::string& mark,
                         const std::function<void()>& each) {
  HonestPublisher publisher(broker, "honest", mark);
  for (int i = 0; i < 20; ++i) {
    broker.CreateStream(mark + std::to_string(i), mark + std::to_string(i));
    DeleteStream(broker, mark + std::to_string(i));
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) broker.Signal(number);
    each();
  }
  const int done = publisher.done();
  BROKER_CHECK(broker, Eventually([&] { return publisher.done() >= done + 500; }));
  return publisher.Stop();
}

TEST_CASE("main: standard error that nobody reads stops nothing, and SIGTERM ends the broker") {
  const auto nats = StartNats();
  ErrorPipe pipe;
  MainBroker broker(nats->url());
  pipe.Launch(broker);
  broker.CreateStream("honest", "honest");
  (void)pipe.Read();
  const HonestResult before = BesideChurn(broker, "before", [&] { (void)pipe.Read(); });
  pipe.Fill();
  const HonestResult beside = BesideChurn(broker, "beside", [] {});
  CHECK(Eventually([&] {
    const auto info = broker.Info();
    return std::any_of(info.degraded().begin(), info.degraded().end(), [](const auto& sentence) {
      return Has(sentence, "nothing reads this process's standard error");
    });
  }));
  CHECK(broker.Running());
  (void)pipe.Read();
  const HonestResult after = BesideChurn(broker, "after", [&] { (void)pipe.Read(); });
  pipe.Fill();
  CheckUnhurried("standard error stuck", before, beside, after);
  CheckKept(broker, "honest", {&before, &beside, &after});

  const auto begin = std::chrono::steady_clock::now();
  broker.Signal(SIGTERM);
  const auto exit = broker.AwaitEnd(std::chrono::seconds(5));
  REQUIRE(exit.has_value());
  CHECK(exit->ok());
  MESSAGE("ended after ",
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                begin)
              .count(),
          " ms");
}

TEST_CASE("main: what was kept for a slow reader of standard error arrives, and so do last lines") {
  const auto nats = StartNats();
  ErrorPipe pipe;
  MainBroker broker(nats->url());
  pipe.Launch(broker);
  pipe.Fill();
  broker.Signal(SIGHUP);
  broker.CreateStream("s", "s");
  CHECK(Eventually([&] { return Has(pipe.Read(), "SIGHUP: nothing is done"); }));
  broker.Signal(SIGTERM);
  CHECK(Eventually([&] { return Has(pipe.Read(), "stopped\n"); }));
  const auto exit = broker.AwaitEnd(kPatience);
  REQUIRE(exit.has_value());
  CHECK(exit->ok());
}

}  // namespace
}  // namespace bascule::main_job
