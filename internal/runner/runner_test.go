package runner_test

func victim(_, _ string) int { return 0 }
