#include "trace/trace-hw_misc_membox.h"
