package lambda

import "coffer/internal/api"

func (s *Service) concurrencyOperations() []api.Bound { return nil }
