// Certificates for TLS with a NATS server.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace bascule {

// A CA, a server and a client certificate, by the openssl command.
struct Certificates {
  TempDir files;
  std::string Path(const char* name) const { return files.Path(name); }
  void Openssl(std::vector<std::string> args) const {
    ChildOptions child;
    child.program = "openssl";
    child.args = std::move(args);
    const auto run = RunProgram(child);
    REQUIRE_MESSAGE((run.ok() && run->exit.ok()),
                    (run.ok() ? run->errors : run.status().ToString()));
  }
  void Issue(const std::string& name) const {
    Openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=" + name, "-keyout", Path((name + ".key").c_str()), "-out",
             Path((name + ".csr").c_str())});
    std::ofstream(Path((name + ".ext").c_str())) << "subjectAltName=IP:127.0.0.1,DNS:localhost\n";
    Openssl({"x509", "-req", "-in", Path((name + ".csr").c_str()), "-CA", Path("ca.pem"), "-CAkey",
             Path("ca.key"), "-CAcreateserial", "-days", "1", "-extfile",
             Path((name + ".ext").c_str()), "-out", Path((name + ".pem").c_str())});
  }
  Certificates() {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-subj", "/CN=test ca", "-keyout", Path("ca.key"), "-out",
             Path("ca.pem")});
    Issue("server");
    Issue("client");
  }
};

}  // namespace bascule
