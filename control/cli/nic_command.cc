// sluice nic: preflight, show, plan, apply, revert, drift.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/cli/command.h"
#include "control/cli/doctor_command.h"
#include "control/cli/json.h"
#include "control/cli/nic_view.h"
#include "control/cli/options.h"
#include "control/config/interface_config.h"
#include "control/config/serve_config.h"
#include "control/nic/nic_journal.h"
#include "control/nic/nic_plan.h"
#include "control/nic/nic_port.h"
#include "control/nic/nic_transaction.h"
#include "control/service/nic_report.h"
#include "ingest/status_macros.h"

namespace sluice {
namespace {

struct Options {
  std::string interface;
  std::string config;
  std::vector<uint32_t> zero_copy_queues;
  std::vector<std::string> rules;
  std::optional<uint32_t> receive_queues;
  std::optional<uint32_t> ring_size;
  std::string state = NicJournal::kDirectory;
  OutputFormat output = OutputFormat::kText;
};

// From the configuration file or from the command line, not from both.
absl::StatusOr<DesiredNic> DesiredOf(const Options& options) {
  const bool given = !options.zero_copy_queues.empty() || !options.rules.empty() ||
                     options.receive_queues || options.ring_size;
  if (given == !options.config.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("say what ", options.interface,
                     " should be: either with --config FILE, or with --zero-copy-queues, --rule, "
                     "--receive-queues and --ring-size"));
  }
  if (!options.config.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const ServeConfig config, LoadConfig(options.config));
    for (const InterfaceConfig& one : config.interfaces) {
      if (one.desired.interface == options.interface) return one.desired;
    }
    return absl::InvalidArgumentError(absl::StrCat(options.config, " has no interface { name: \"",
                                                   options.interface, "\" ... }"));
  }
  DesiredNic desired;
  desired.interface = options.interface;
  desired.zero_copy_queues.insert(options.zero_copy_queues.begin(), options.zero_copy_queues.end());
  for (const std::string& text : options.rules) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<DesiredRule> rules, ParseRule(text));
    desired.rules.insert(desired.rules.end(), rules.begin(), rules.end());
  }
  desired.receive_queues = options.receive_queues;
  desired.ring_size = options.ring_size;
  return desired;
}

absl::StatusOr<int> Show(NicPort& port, const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::NetworkInterface shown,
                          DescribeNic(port, options.state, options.interface));
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(shown) << std::endl;
  } else {
    PrintInterface(shown, std::cout);
  }
  return kExitOk;
}

absl::StatusOr<int> Drift(NicPort& port, const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const v1::NetworkInterface shown,
                          DescribeNic(port, options.state, options.interface));
  if (!shown.managed()) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.interface, " was not set by sluice: nothing is known of what it should be"));
  }
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(shown) << std::endl;
  } else if (shown.drift().empty()) {
    std::cout << options.interface << " is as it was set\n";
  } else {
    std::cout
        << options.interface << " is not as it was set; `sluice nic apply` mends it, by this:\n";
    for (const std::string& command : shown.drift()) std::cout << "  " << command << '\n';
  }
  return shown.drift().empty() ? kExitOk : kExitFailed;
}

void Print(const v1::NicPlan& plan, const Options& options, absl::string_view nothing) {
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(plan) << std::endl;
  } else if (plan.steps().empty()) {
    std::cout << nothing << '\n';
  } else {
    PrintPlan(plan, std::cout);
  }
}

absl::StatusOr<int> Plan(NicPort& port, const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const DesiredNic desired, DesiredOf(options));
  SLUICE_ASSIGN_OR_RETURN(const v1::NicPlan plan, PlanNic(port, options.state, desired));
  Print(plan, options, absl::StrCat(options.interface, " is so already"));
  return kExitOk;
}

// Each step is shown when it is done.
NicWatcher Tell(const Options& options, v1::NicPlan* done) {
  return [&options, done](const NicStep& step) {
    AddStep(options.interface, step, done);
    if (options.output != OutputFormat::kJson) {
      std::cout << AsCommand(options.interface, step) << std::endl;
    }
  };
}

absl::StatusOr<int> Apply(NicPort& port, const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const DesiredNic desired, DesiredOf(options));
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(options.state, options.interface));
  v1::NicPlan done;
  SLUICE_RETURN_IF_ERROR(ApplyNic(port, *journal, desired, Tell(options, &done)));
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(done) << std::endl;
  } else {
    std::cout << options.interface << " is set; `sluice nic revert "
              << options.interface << "` puts it back as it was\n";
  }
  return kExitOk;
}

absl::StatusOr<int> Revert(NicPort& port, const Options& options) {
  SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<NicJournal> journal,
                          NicJournal::Open(options.state, options.interface));
  v1::NicPlan done;
  const absl::Status status = RevertNic(port, *journal, Tell(options, &done));
  if (absl::IsNotFound(status)) {
    return absl::NotFoundError(
        absl::StrCat(options.interface, " was not set by sluice: there is nothing to put back"));
  }
  SLUICE_RETURN_IF_ERROR(status);
  if (options.output == OutputFormat::kJson) {
    std::cout << ToJson(done) << std::endl;
  } else {
    std::cout << options.interface << " is as it was before\n";
  }
  return kExitOk;
}

using Run = absl::StatusOr<int> (*)(NicPort&, const Options&);

CLI::App& Add(CLI::App& group, const std::shared_ptr<Options>& options, Action& action,
              const std::string& name, const std::string& help, Run run) {
  CLI::App& app = *group.add_subcommand(name, help);
  app.add_option("interface", options->interface, "The network card, such as eth1")
      ->type_name("IF")
      ->required();
  app.add_option("--state", options->state,
                 absl::StrCat("Where it is remembered what cards were before\n(default: ",
                              NicJournal::kDirectory, ")"))
      ->type_name("DIR");
  AddOutputOption(app, options->output, "text");
  app.callback([&action, options, run] {
    action = [options, run] {
      const absl::StatusOr<std::unique_ptr<NicPort>> port = OpenKernelPort();
      if (!port.ok()) return Fail(port.status());
      const absl::StatusOr<int> code = run(**port, *options);
      return code.ok() ? *code : Fail(code.status());
    };
  });
  return app;
}

// The doctor's checks of one card.
void AddPreflight(CLI::App& group, const std::shared_ptr<Options>& options, Action& action) {
  const auto question = std::make_shared<DoctorQuestion>();
  CLI::App& app =
      *group.add_subcommand("preflight", "Check whether a card can receive without a copy");
  app.add_option("interface", question->interface, "The network card, such as eth1")
      ->type_name("IF")
      ->required();
  app.add_option("--queue", question->queue,
                 "Borrow this receive queue for a moment, which\nrestarts it")
      ->type_name("N");
  AddOutputOption(app, options->output, "text");
  app.callback([&action, options, question] {
    action = [options, question] { return RunDoctor(*question, options->output); };
  });
}

void AddDesired(CLI::App& app, const std::shared_ptr<Options>& options) {
  app.add_option("--config", options->config,
                 "Take what it should be from the daemon's\nconfiguration file")
      ->type_name("FILE");
  app.add_option("--zero-copy-queues", options->zero_copy_queues,
                 "Receive queues to set aside, with headers apart\nfrom payload")
      ->type_name("N,N")
      ->delimiter(',');
  app.add_option("--rule", options->rules,
                 "Which packets go there, such as\n\"tcp dst-port 9000\" or \"tcp src-ip "
                 "10.0.0.0/8\";\nmay be given again")
      ->type_name("RULE");
  app.add_option("--receive-queues", options->receive_queues, "How many it should have")
      ->type_name("N");
  app.add_option("--ring-size", options->ring_size, "Receive descriptors of each queue")
      ->type_name("N");
}

}  // namespace

void AddNicCommand(CLI::App& program, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App& group =
      *program.add_subcommand("nic", "Set network cards' queues and steering, and put them back");
  group.require_subcommand(1);
  AddPreflight(group, options, action);
  Add(group, options, action, "show", "Show queues, steering, interrupts and memory", &Show);
  AddDesired(Add(group, options, action, "plan",
                 "Show the steps of `apply`, and what each disturbs", &Plan),
             options);
  AddDesired(Add(group, options, action, "apply", "Set the card, wholly or not at all", &Apply),
             options);
  Add(group, options, action, "revert", "Put the card back as it was before `apply`", &Revert);
  Add(group, options, action, "drift", "Tell what has changed since; exit code 1: any", &Drift);
  group.footer(
      "What a card was before is remembered until it is put back. A program that was\n"
      "killed in the middle of a change is no harm: the next `apply`, `revert` or start\n"
      "of the daemon undoes what was half done.\n"
      "\n"
      "Examples:\n"
      "  sluice nic preflight eth1 --queue 7\n"
      "  sluice nic show eth1\n"
      "  sluice nic plan eth1 --zero-copy-queues 6,7 --rule \"tcp dst-port 9000\"\n"
      "  sluice nic apply eth1 --config /etc/sluice/serve.textproto\n"
      "  sluice nic revert eth1");
}

}  // namespace sluice
