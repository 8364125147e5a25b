// sluice serve: the daemon.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "control/cli/command.h"
#include "control/config/serve_config.h"
#include "control/service/daemon.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

absl::Status Run(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const ServeConfig config, LoadConfig(path));
  return RunDaemon(config, [&path] { return LoadConfig(path); });
}

}  // namespace

void AddServeCommand(CLI::App& program, Action& action) {
  const auto path = std::make_shared<std::string>();
  CLI::App& app = *program.add_subcommand("serve", "Run the daemon: recordings and their API");
  app.add_option("--config", *path, "The configuration file")->type_name("FILE")->required();
  app.footer(
      "SIGINT or SIGTERM drains all recordings; a second one leaves at once.\n"
      "SIGHUP reads the file again: recordings come, go and change while the others\n"
      "run; a bad file changes nothing.\n"
      "\n"
      "Example, with a file that reads\n"
      "  archive { directory: \"/srv/archive\" capacity: \"400GiB\" }\n"
      "  recording { id: \"market\" tcp_listen { address: \":9000\" } }\n"
      "as\n"
      "  sluice serve --config sluice.textproto");
  app.callback([&action, path] { action = [path] { return ExitCodeOf(Run(*path)); }; });
}

}  // namespace sluice
