#include <cstdlib>

#include "control/cli/program.h"

int main(int argc, char** argv) {
  // gRPC's own log is for its developers; what concerns a user comes as a status.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return sluice::RunProgram(argc, argv);
}
