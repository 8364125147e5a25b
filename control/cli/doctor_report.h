// What `sluice doctor` says.
#ifndef CONTROL_CLI_DOCTOR_REPORT_H_
#define CONTROL_CLI_DOCTOR_REPORT_H_

#include <string>

#include "control/doctor/diagnosis.h"

namespace sluice {

// Check by check, what to do below what was found, then what follows; in lines of 80 columns.
std::string DoctorText(const Diagnosis& diagnosis, bool colors);
std::string DoctorJson(const Diagnosis& diagnosis);

}  // namespace sluice

#endif  // CONTROL_CLI_DOCTOR_REPORT_H_
